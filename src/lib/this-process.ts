import { hostname } from 'node:os';

/** Where this process runs, for notes that outlive it. */
export function thisHost(): { readonly host: string; readonly processId: number } {
  return { host: hostname(), processId: process.pid };
}

/** This process as a second comer to one of its leases sees it. */
export function thisProcess(command: string): {
  readonly command: string;
  readonly host: string;
  readonly processId: number;
  readonly startedAt: string;
} {
  return { command, ...thisHost(), startedAt: new Date().toISOString() };
}
