import { hostname } from 'node:os';
import type { LeaseOwner } from '../storage/object-store.ts';

/** This process as a second comer to one of its leases sees it. */
export function thisProcess(command: string): LeaseOwner {
  return {
    command,
    host: hostname(),
    processId: process.pid,
    startedAt: new Date().toISOString(),
  };
}
