import { describe, expect, test } from 'vitest';
import { WalnutError } from '../../lib/walnut-error.ts';
import { errorDocumentOf, renderError, toReported } from './error.ts';

describe('errors', () => {
  const root = new Error('ECONNREFUSED 10.0.0.1:5432');
  const middle = new Error('open session', { cause: root });
  const error = new WalnutError('connection', 'connect to server shop: refused', {
    hint: 'Is it running?',
    cause: middle,
  });

  test('are told with message, causes and hint', () => {
    expect(renderError(error)).toBe(
      'walnut: connect to server shop: refused\n  cause: open session: ECONNREFUSED 10.0.0.1:5432\n  hint: Is it running?',
    );
    expect(errorDocumentOf(error).error).toEqual({
      code: 'connection',
      message: 'connect to server shop: refused',
      hint: 'Is it running?',
      cause: 'open session: ECONNREFUSED 10.0.0.1:5432',
    });
  });

  test('do not repeat a cause that the message holds', () => {
    const told = new WalnutError('failed', `connect: ${root.message}`, { cause: root });
    expect(errorDocumentOf(told).error.cause).toBeNull();
    expect(renderError(told)).toBe(`walnut: connect: ${root.message}`);
  });

  test('that nobody foresaw are failures', () => {
    const reported = toReported(new TypeError('x is not a function'), new AbortController().signal);
    expect(reported).toMatchObject({ code: 'failed', exitCode: 1, message: 'x is not a function' });
    expect(toReported('text', new AbortController().signal).message).toBe('text');
  });

  test('that an interruption caused are the interruption', () => {
    const controller = new AbortController();
    controller.abort(new WalnutError('interrupted', 'interrupted by SIGINT'));
    const { signal } = controller;
    const fromNode = new DOMException('The operation was aborted', 'AbortError');
    expect(toReported(signal.reason, signal).exitCode).toBe(130);
    expect(toReported(fromNode, signal).exitCode).toBe(130);
    expect(toReported(new WalnutError('disk-full', 'x'), signal).code).toBe('disk-full');
    expect(toReported(fromNode, new AbortController().signal).code).toBe('failed');
  });
});
