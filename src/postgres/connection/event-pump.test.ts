import { setImmediate as turn } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { EventPump } from './event-pump.ts';

function makePump(): { pump: EventPump; log: string[] } {
  const log: string[] = [];
  const pump = new EventPump({
    onPause: () => log.push('pause'),
    onResume: () => log.push('resume'),
    onError: (error) => log.push(String(error)),
  });
  return { pump, log };
}

test('steps run in order, and wait for the promise of one before them', async () => {
  const { pump, log } = makePump();
  const gate = Promise.withResolvers<void>();
  pump.push(() => void log.push('1'));
  pump.push(() => {
    log.push('2');
    return gate.promise;
  });
  pump.push(() => void log.push('3'));
  pump.push(async () => void log.push('4'));
  pump.push(() => void log.push('5'));
  expect(log).toEqual(['1', '2', 'pause']);
  gate.resolve();
  await turn();
  expect(log).toEqual(['1', '2', 'pause', '3', '4', 'pause', '5', 'resume']);
});

test('a step that fails is reported, and a stopped pump runs nothing more', async () => {
  const { pump, log } = makePump();
  pump.push(() => {
    throw new Error('now');
  });
  pump.push(async () => {
    throw new Error('later');
  });
  pump.push(() => void log.push('never'));
  pump.stop();
  await turn();
  expect(log).toEqual(['Error: now', 'pause', 'Error: later']);
});
