import { assert } from '../../lib/assert.ts';
import { WalnutError } from '../../lib/walnut-error.ts';
import { checkKey, checkPrefix } from '../object-key.ts';
import type {
  Lease,
  LeaseOwner,
  ObjectInfo,
  ObjectStore,
  ObjectWriter,
  StoreDescription,
  StoreProperties,
} from '../object-store.ts';

type Stored = { readonly content: Buffer; readonly modifiedAt: Date };

/** Opens an empty store that lives in this process only, for tests. */
export function openMemoryStore(): ObjectStore {
  return new MemoryStore();
}

class MemoryStore implements ObjectStore {
  readonly properties: StoreProperties = { partBytesMin: 1, concurrency: 4, isLocal: true };
  readonly #objects = new Map<string, Stored>();
  readonly #leases = new Map<string, LeaseOwner>();

  get description(): StoreDescription {
    throw new Error('a memory store cannot be opened a second time');
  }

  async beginWrite(key: string): Promise<ObjectWriter> {
    checkKey(key);
    let parts: Buffer[] | null = [];
    return {
      writePart: async (part) => {
        assert(parts !== null, `writer of ${key} is open`);
        parts.push(Buffer.from(part));
      },
      commit: async () => {
        assert(parts !== null, `writer of ${key} is open`);
        const content = Buffer.concat(parts);
        parts = null;
        await this.put(key, content);
      },
      abort: async () => {
        parts = null;
      },
    };
  }

  async put(key: string, content: Uint8Array): Promise<void> {
    checkKey(key);
    if (this.#objects.has(key)) {
      throw new WalnutError('object-exists', `store object ${key}: it exists already`);
    }
    await this.replace(key, content);
  }

  async replace(key: string, content: Uint8Array): Promise<void> {
    checkKey(key);
    this.#objects.set(key, { content: Buffer.from(content), modifiedAt: new Date() });
  }

  async read(key: string, offset: number, into: Uint8Array): Promise<number> {
    const part = this.#stored(key).content.subarray(offset, offset + into.length);
    into.set(part);
    return part.length;
  }

  async get(key: string, maxBytes: number): Promise<Buffer> {
    const { content } = this.#stored(key);
    if (content.length <= maxBytes) return Buffer.from(content);
    throw new WalnutError(
      'object-damaged',
      `read object ${key}: its ${content.length} bytes exceed the limit of ${maxBytes}`,
    );
  }

  async stat(key: string): Promise<ObjectInfo | null> {
    checkKey(key);
    const stored = this.#objects.get(key);
    if (stored === undefined) return null;
    return { key, sizeBytes: stored.content.length, modifiedAt: stored.modifiedAt };
  }

  async *list(prefix: string): AsyncGenerator<ObjectInfo> {
    checkPrefix(prefix);
    for (const key of [...this.#objects.keys()].toSorted()) {
      const info = key.startsWith(prefix) ? await this.stat(key) : null;
      if (info !== null) yield info;
    }
  }

  async listFolder(prefix: string): Promise<string[]> {
    checkPrefix(prefix);
    const names = [...this.#objects.keys()]
      .filter((key) => key.startsWith(prefix))
      .map((key) => /^[^/]+\/?/.exec(key.slice(prefix.length))?.[0] ?? '');
    return [...new Set(names)].toSorted();
  }

  async delete(key: string): Promise<void> {
    checkKey(key);
    this.#objects.delete(key);
  }

  async acquireLease(key: string, owner: LeaseOwner): Promise<Lease> {
    checkKey(key);
    const holder = this.#leases.get(key);
    if (holder !== undefined) {
      throw new WalnutError('locked', `take lease ${key}: ${holder.command} holds it`, {
        details: { owner: holder },
      });
    }
    // A copy, so that two takers who pass the same value are still told apart.
    const mine = { ...owner };
    this.#leases.set(key, mine);
    await this.replace(key, Buffer.from(`${JSON.stringify(owner)}\n`));
    const isHeld = async (): Promise<boolean> => this.#leases.get(key) === mine;
    const release = async (): Promise<void> => {
      if (!(await isHeld())) return;
      this.#leases.delete(key);
      await this.delete(key);
    };
    return { key, isHeld, release };
  }

  async removeStaleTemporaries(): Promise<string[]> {
    return [];
  }

  async freeBytes(): Promise<null> {
    return null;
  }

  async close(): Promise<void> {
    assert(this.#leases.size === 0, 'leases are released before their store is closed');
  }

  #stored(key: string): Stored {
    checkKey(key);
    const stored = this.#objects.get(key);
    if (stored !== undefined) return stored;
    throw new WalnutError('object-missing', `read object ${key}: there is none`);
  }
}
