import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import type { Connection } from 'pg';
import { WalnutError } from '../../lib/walnut-error.ts';
import type { TlsSettings } from './tls-settings.ts';

/** What `pg`'s connection emits while it logs in; its published types leave these out. */
type LoginEvents = {
  on(event: 'authenticationSASL', listener: (message: { mechanisms: string[] }) => void): void;
  on(
    event:
      | 'authenticationOk'
      | 'authenticationCleartextPassword'
      | 'authenticationMD5Password'
      | 'sslconnect',
    listener: () => void,
  ): void;
};

/**
 * Ends a login that is weaker than asked for, before any secret is sent: `channel_binding=require` without binding
 * (the server may be an impostor), and direct TLS without ALPN (the other side may speak another protocol).
 * Must be called before `pg` puts its own listeners on, that is before `Client.connect`.
 */
export function guardLogin(
  connection: Connection,
  { channelBinding, negotiation }: TlsSettings,
  encrypted: boolean,
): void {
  const events: LoginEvents = connection;
  const stop = (error: WalnutError): void => {
    (connection.stream as Socket).destroy(error);
  };
  if (encrypted && negotiation === 'direct') {
    events.on('sslconnect', () => {
      const socket = connection.stream as TLSSocket;
      socket.once('secureConnect', () => {
        if (socket.alpnProtocol !== 'postgresql') stop(missingAlpn());
      });
    });
  }
  if (channelBinding !== 'require') return;
  let bound = false;
  events.on('authenticationSASL', ({ mechanisms }) => {
    bound = encrypted && mechanisms.includes('SCRAM-SHA-256-PLUS');
    if (!bound) stop(missingBinding());
  });
  events.on('authenticationCleartextPassword', () => stop(missingBinding()));
  events.on('authenticationMD5Password', () => stop(missingBinding()));
  events.on('authenticationOk', () => {
    if (!bound) stop(missingBinding());
  });
}

function missingBinding(): WalnutError {
  return new WalnutError(
    'authentication',
    'log in: channel_binding=require, but the server did not offer channel binding',
    { hint: 'Use TLS, a scram-sha-256 line in pg_hba.conf and a SCRAM password on the server.' },
  );
}

function missingAlpn(): WalnutError {
  return new WalnutError(
    'connection',
    'connect with direct TLS: the server did not agree on ALPN',
    {
      hint: 'sslnegotiation=direct needs PostgreSQL 17 or newer; use sslnegotiation=postgres.',
    },
  );
}
