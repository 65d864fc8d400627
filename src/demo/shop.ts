/** The shop whose orders are lost and found: its schema, its customers at work, and what a table held at a moment. */
import type { ConnectionSettings } from '../postgres/connection/connection-settings.ts';
import { openSession } from '../postgres/connection/open-session.ts';
import type { Session } from '../postgres/connection/session.ts';

const APPLICATION = 'walnut demo';
const SESSIONS = 3;
/** About 90 MB with indexes: large enough to see a rate, small enough for a minute. */
const ORDERS = 300_000;

const SCHEMA = [
  `CREATE TABLE public.customers (id bigserial PRIMARY KEY, name text NOT NULL, profile jsonb NOT NULL)`,
  `CREATE TABLE public.orders (id bigserial PRIMARY KEY, customer bigint NOT NULL, amount numeric(10, 2) NOT NULL,
     placed timestamptz NOT NULL, note text NOT NULL)`,
  `CREATE TABLE public.ledger (session int, number int, PRIMARY KEY (session, number))`,
  `INSERT INTO public.customers (name, profile)
     SELECT 'customer ' || n, jsonb_build_object('town', 'town ' || n % 97, 'points', n * 31 % 1009)
       FROM generate_series(1, 5000) AS n`,
  `INSERT INTO public.orders (customer, amount, placed, note)
     SELECT 1 + n * 7919::bigint % 5000, (n * 7919::bigint % 100000) / 100.0, now() - n * interval '7 seconds', md5(n::text)
       FROM generate_series(1, ${ORDERS}) AS n`,
  `CREATE INDEX ON public.orders (customer)`,
  `CREATE INDEX ON public.orders (placed)`,
];

export async function openShop(settings: ConnectionSettings): Promise<Session> {
  const session = await openSession(settings, { applicationName: APPLICATION });
  for (const statement of SCHEMA) await session.query(statement, { act: 'fill the shop' });
  return session;
}

export type TableContent = { readonly rows: number; readonly checksum: string };

/** Number of orders and one checksum over all of them, computed on the server. */
export async function readOrders(session: Session): Promise<TableContent> {
  const rows = await session.query<{ rows: bigint; checksum: string }>(
    `SELECT count(*) AS rows, md5(string_agg(md5(o::text), '' ORDER BY o.id)) AS checksum FROM public.orders AS o`,
    { act: 'compute the checksum of table orders' },
  );
  return { rows: Number(rows[0]?.rows), checksum: rows[0]?.checksum ?? '' };
}

/** Customers who place orders, each on a connection of its own, and count what the server acknowledged. */
export class ShopLoad {
  readonly #acknowledged: number[] = Array.from({ length: SESSIONS }, () => 0);
  readonly #sessions: Promise<void>[];
  #stopping = false;

  constructor(settings: ConnectionSettings) {
    this.#sessions = this.#acknowledged.map(async (_, number) => this.#shop(settings, number));
    for (const session of this.#sessions) session.catch(() => undefined);
  }

  /** Transactions acknowledged so far. */
  get commits(): number {
    return this.#acknowledged.reduce((sum, count) => sum + count, 0);
  }

  /** Ends all sessions after the transaction they are in; answers the transactions acknowledged in all. */
  async stop(): Promise<number> {
    this.#stopping = true;
    await Promise.all(this.#sessions);
    return this.commits;
  }

  async #shop(settings: ConnectionSettings, session: number): Promise<void> {
    const connection = await openSession(settings, { applicationName: APPLICATION });
    try {
      for (let number = 1; !this.#stopping; number += 1) {
        await connection.query(
          `WITH o AS (INSERT INTO public.orders (customer, amount, placed, note)
                      VALUES (1 + $2 % 5000, $2 % 500, clock_timestamp(), md5($2::text))),
                c AS (UPDATE public.customers SET profile = profile || jsonb_build_object('last', $2) WHERE id = 1 + $2 % 5000)
           INSERT INTO public.ledger VALUES ($1, $2)`,
          { parameters: [session, number], act: 'place an order' },
        );
        this.#acknowledged[session] = number;
      }
    } finally {
      await connection.close();
    }
  }
}

/** How many of the acknowledged transactions a restored shop does not hold. */
export async function countLost(session: Session, acknowledged: number): Promise<number> {
  const rows = await session.query<{ held: bigint }>('SELECT count(*) AS held FROM public.ledger', {
    act: 'count the transactions in the restored cluster',
  });
  return Math.max(0, acknowledged - Number(rows[0]?.held));
}
