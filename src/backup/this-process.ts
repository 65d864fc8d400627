import { hostname } from 'node:os';
import type { LeaseOwner } from '../storage/object-store.ts';

export function thisHost(): { readonly host: string; readonly processId: number } {
  return { host: hostname(), processId: process.pid };
}

export function thisProcess(command: string): LeaseOwner {
  return { command, ...thisHost(), startedAt: new Date().toISOString() };
}
