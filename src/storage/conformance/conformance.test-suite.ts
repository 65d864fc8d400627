import { afterEach, beforeEach, describe } from 'vitest';
import type { ObjectStore } from '../object-store.ts';
import { testLeases, testRaces } from './concurrency.test-suite.ts';
import { testObjects, testReading, testWriters } from './content.test-suite.ts';
import { testDeleting, testKeys, testListing } from './naming.test-suite.ts';
import { testSharing } from './sharing.test-suite.ts';

/** What a driver's test hands over: a fresh, empty store for each test, and its removal. */
type StoreUnderTest = {
  readonly store: ObjectStore;
  readonly remove: () => Promise<void>;
};

type ConformanceOptions = {
  /** Opens a fresh, empty store. */
  readonly open: () => Promise<StoreUnderTest>;
  /** Whether other threads and processes can open the same store by its description. */
  readonly isShared: boolean;
};

/** The contract of {@link ObjectStore} as tests. A driver's test file calls this and adds what only that driver has. */
export function describeObjectStore(name: string, { open, isShared }: ConformanceOptions): void {
  describe(`${name} keeps the contract of an object store:`, () => {
    let opened: StoreUnderTest;
    beforeEach(async () => {
      opened = await open();
    });
    afterEach(async () => opened.remove());
    const store = (): ObjectStore => opened.store;

    const chapters = {
      objects: testObjects,
      writers: testWriters,
      races: testRaces,
      reading: testReading,
      listing: testListing,
      deleting: testDeleting,
      keys: testKeys,
      leases: testLeases,
    };
    describe.each(Object.entries(chapters))('%s', (_, chapter) => {
      chapter(store);
    });
    describe.runIf(isShared)('threads and processes', () => {
      testSharing(store);
    });
  });
}
