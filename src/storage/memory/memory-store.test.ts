import { describeObjectStore } from '../conformance/conformance.test-suite.ts';
import { openMemoryStore } from './memory-store.ts';

describeObjectStore('the memory store', {
  isShared: false,
  open: async () => {
    const store = openMemoryStore();
    return { store, remove: async () => store.close() };
  },
});
