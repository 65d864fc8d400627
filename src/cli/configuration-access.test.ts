import { describe, expect, test } from 'vitest';
import { ConfigurationAccess } from './configuration-access.ts';

function access(...servers: string[]): ConfigurationAccess {
  const environment: NodeJS.ProcessEnv = {
    WALNUT_REPOSITORY_MAIN_URL: 'file:///backup',
    WALNUT_CONFIG: '',
  };
  for (const name of servers) {
    environment[`WALNUT_SERVER_${name.toUpperCase()}_CONNECTION`] = 'host=db1';
  }
  return new ConfigurationAccess({ configPath: undefined, environment });
}

describe('ConfigurationAccess', () => {
  test('takes the only server when no name is given', async () => {
    expect((await access('shop').resolveServer(undefined)).name).toBe('shop');
  });

  test('wants a name when there are several, and lists them', async () => {
    await expect(access('shop', 'crm').resolveServer(undefined)).rejects.toMatchObject({
      code: 'usage',
      hint: 'Name one of shop, crm.',
    });
    expect(await access('shop', 'crm').resolveServers(undefined)).toHaveLength(2);
  });

  test('answers an unknown name by the nearest, or by all', async () => {
    await expect(access('shop', 'crm').resolveServer('shpo')).rejects.toMatchObject({
      code: 'usage',
      hint: 'Did you mean shop?',
    });
    await expect(access('shop', 'crm').resolveServers('warehouse')).rejects.toMatchObject({
      hint: expect.stringContaining('shop, crm'),
    });
  });

  test('says so when the configuration has no server at all', async () => {
    await expect(access().resolveServer(undefined)).rejects.toMatchObject({ code: 'config' });
    await expect(access().resolveServers(undefined)).rejects.toMatchObject({ code: 'config' });
  });
});
