import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { LinkTable } from '../../src/invocation/link-table.ts';
import { fileLinks } from '../../src/host/lattice-links.ts';
import { link } from '../support/links.ts';
import { type ControlHost, runs, startControlHost } from '../support/control-host.ts';
import { textOf } from '../support/document.ts';
import { startServer, type TestServer } from '../support/nats-server.ts';
import { Program, type ProgramEnd, runProgram } from '../support/program.ts';

// Commands of which hosts need run nothing. Components: component-commands.test.ts.

let server: TestServer;
let host: ControlHost;
/** Links in the configuration file of the host. */
const table = new LinkTable([]);
beforeAll(async () => {
  server = await startServer({ jetstream: true });
  host = await startControlHost(server.url, { fileLinks: () => fileLinks(table) });
});
afterAll(async () => {
  await host[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

const envOf = (): Record<string, string> => ({
  TRELLIS_LATTICE: 'lab',
  TRELLIS_CTL_SERVERS: server.url,
  XDG_CONFIG_HOME: server.dir,
});
const cli = (...args: string[]): Promise<ProgramEnd> => runProgram('cli', args, { env: envOf() });
const ok = async (...args: string[]): Promise<string> => {
  const { code, stdout, stderr } = await cli(...args);
  expect(code, stderr).toBe(0);
  return stdout;
};
const json = async (...args: string[]): Promise<Record<string, unknown>> => {
  const document = JSON.parse(await ok(...args, '--output', 'json')) as Record<string, unknown>;
  const known = documented(args);
  for (const field of known === undefined ? [] : Object.keys(document)) expect(known, args.join(' ')).toContain(field);
  return document;
};
/** The fields that the page promises of a command; `undefined` where they are the user's own. */
function documented(args: readonly string[]): string[] | undefined {
  const rows = textOf('docs/cli.md')
    .split('\n')
    .map((line) => line.split('|'));
  const row = rows.find(
    (cells) => cells.length === 5 && named(cells[1]!).some((name) => `${args.join(' ')} `.startsWith(`${name} `)),
  );
  expect(row, `docs/cli.md has no row for ${args.join(' ')}`).toBeDefined();
  const fields = named(row![2]!);
  return fields.length === 0 ? undefined : fields;
}
const named = (cell: string): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, name]) => name!);
const code = (text: string): unknown => (JSON.parse(text) as { error: { code: string } }).error.code;

describe('get', () => {
  it('lists hosts and what they run, for people and for programs', async () => {
    host.running.set('web', { ...runs('web'), maxInstances: 4_294_967_295, annotations: { owner: 'ada' } });
    const [text, hosts, inventory] = await Promise.all([ok('get', 'hosts'), json('get', 'hosts'), ok('get', 'inventory')]);
    expect(text).toMatch(new RegExp(`^${host.id} +${host.facts.friendlyName} +\\d.* +1\\.9\\.2\\S* +zone=a$`, 'm'));
    expect(hosts['hosts']).toEqual([expect.objectContaining({ id: host.id, lattice: 'lab' })]);
    expect(inventory).toContain(`${host.facts.friendlyName} (${host.id})`);
    expect(inventory).toMatch(/^web +file:\/\/\/web\.wasm +no limit +owner=ada$/m);
    const named = await json('get', 'inventory', host.facts.friendlyName.toUpperCase());
    expect(named['inventories']).toEqual([expect.objectContaining({ host_id: host.id })]);
    host.running.clear();
  });

  it('shows it again and again until it is stopped', async () => {
    await using program = new Program('cli', ['get', 'inventory', '--watch', '200', '--output', 'json'], { env: envOf() });
    await expect.poll(() => program.stdout.split('\n').length).toBeGreaterThan(2);
    program.signal('SIGTERM');
    const { code: exit, stdout } = await program.ended;
    expect(exit).toBe(0);
    for (const line of stdout.trim().split('\n')) {
      expect(JSON.parse(line)).toMatchObject({ inventories: [{ host_id: host.id }] });
    }
  });

  it('says when nobody is there, and which host is meant is wrong', async () => {
    const [empty, unknown, links] = await Promise.all([
      cli('get', 'hosts', '--lattice', 'other'),
      cli('get', 'inventory', 'zebra'),
      cli('get', 'links', '--lattice', 'other', '--output', 'json'),
    ]);
    expect([empty.code, empty.stdout]).toEqual([0, 'No host of lattice other answers.\n']);
    expect([unknown.code, unknown.stderr]).toEqual([3, expect.stringContaining(host.facts.friendlyName)]);
    expect([links.code, code(links.stdout)]).toEqual([3, 'TRELLIS_CONTROL_NO_HOST']);
  });
});

describe('config and link', () => {
  it('keep, show and delete configurations', async () => {
    await ok('config', 'put', 'cache', 'url=redis://c:6379', 'note=a b=c');
    const [values, text] = await Promise.all([json('config', 'get', 'cache'), ok('config', 'get', 'cache')]);
    expect(values).toEqual({ url: 'redis://c:6379', note: 'a b=c' });
    expect(text).toMatch(/^note +a b=c$/m);
    expect(await ok('config', 'del', 'cache')).toBe('cache is deleted.\n');
    const [again, gone, dotted, pair] = await Promise.all([
      json('config', 'del', 'cache'),
      cli('config', 'get', 'cache', '--output', 'json'),
      cli('config', 'get', 'a.b', '--output', 'json'),
      cli('config', 'put', 'x', 'nopair', '--output', 'json'),
    ]);
    expect(again).toMatchObject({ name: 'cache', deleted: false });
    expect([gone.code, code(gone.stdout)]).toEqual([3, 'TRELLIS_CONFIG_UNKNOWN']);
    expect([dotted.code, code(dotted.stdout)]).toEqual([2, 'TRELLIS_ID_INVALID']);
    expect([pair.code, code(pair.stdout)]).toEqual([2, 'TRELLIS_USAGE']);
  });

  it('make links as they are asked for, refuse a second target, and delete what there is', async () => {
    await ok('link', 'put', 'web', 'store', 'wasi', 'keyvalue', '--interface', 'store', '--interface', 'atomics');
    const conflict = await cli('link', 'put', 'web', 'other', 'wasi', 'keyvalue', '--interface', 'store');
    expect([conflict.code, conflict.stderr]).toEqual([4, expect.stringContaining('link already exists with different target')]);
    expect(await json('link', 'query')).toEqual({
      file_links: [],
      links: [
        {
          source_id: 'web',
          target: 'store',
          name: 'default',
          wit_namespace: 'wasi',
          wit_package: 'keyvalue',
          interfaces: ['store', 'atomics'],
          source_config: [],
          target_config: [],
        },
      ],
    });
    const typo = await ok('link', 'del', 'web', 'wasi', 'keyvalues');
    expect(typo).toMatch(
      /^There was no such link\.\nLinks of web:\n(?:.*\n)*web +store +wasi:keyvalue\/store,atomics +default$/m,
    );
    expect(await ok('link', 'del', 'web', 'wasi', 'keyvalue')).toBe('Deleted the link.\n');
    expect(await ok('get', 'links')).toBe('Lattice lab has no links.\n');
  });

  it('show links of a host’s configuration as that, beside those of the lattice', async () => {
    table.replace([link('front', 'back'), link('back', 'front')]);
    const [text, shown] = await Promise.all([ok('get', 'links'), json('link', 'query')]);
    expect(text).toContain(`Lattice lab has no links.\n\nIn the configuration of ${host.facts.friendlyName} (${host.id}), for`);
    expect(text).toMatch(/^front +back +a:b\/c +default/m);
    const asked = {
      wit_namespace: 'a',
      wit_package: 'b',
      interfaces: ['c'],
      name: 'default',
      source_config: [],
      target_config: [],
    };
    expect(shown).toEqual({
      links: [],
      file_links: [
        { host_id: host.id, source_id: 'back', target: 'front', ...asked },
        { host_id: host.id, source_id: 'front', target: 'back', ...asked },
      ],
    });
    table.replace([]);
  });

  it('do not delete all links unless somebody says so', async () => {
    await ok('link', 'put', 'web', 'store', 'wasi', 'keyvalue', '--interface', 'store');
    const asked = await cli('link', 'del', '--all');
    expect([asked.code, asked.stderr]).toEqual([2, expect.stringContaining('--yes')]);
    expect(host.data.links()).toHaveLength(1);
    expect(await json('link', 'del', '--all', '--yes')).toMatchObject({ deleted: [{ source_id: 'web' }] });
    expect(host.data.links()).toHaveLength(0);
    // A host would take the second one, and no import would ever find it.
    const [whole, spaced] = await Promise.all([
      cli('link', 'put', 'web', 'store', 'wasi', 'keyvalue', '--interface', 'wasi:keyvalue/store'),
      cli('link', 'put', 'web', 'store', 'wasi', 'key value', '--interface', 'store'),
    ]);
    expect([whole.code, whole.stderr]).toEqual([2, expect.stringContaining('wasi keyvalue --interface store')]);
    expect([spaced.code, spaced.stderr]).toEqual([2, expect.stringContaining('a package cannot be called "key value"')]);
  });
});

describe('scale', () => {
  it('says of configurations what it is told: others, none, or nothing', async () => {
    const scale = (...flags: string[]): Promise<string> =>
      ok('scale', 'component', host.id, 'ghcr.io/x/y:1', 'web', '--skip-wait', ...flags);
    await scale('--config', 'one', '--config', 'two');
    await scale('--no-config');
    await scale();
    const asked = host.asked.map((request) => ('config' in request ? request.config : 'nothing'));
    expect(asked).toEqual([['one', 'two'], [], 'nothing']);
  });
});

describe('label', () => {
  it('puts labels on the host that is meant, and takes them off', async () => {
    await ok('label', host.id.slice(0, 12), 'zone=eu,disk=ssd', 'tier=gold');
    expect(host.facts.labels.all()).toMatchObject({ zone: 'eu', disk: 'ssd', tier: 'gold' });
    expect(await json('label', host.facts.friendlyName, 'disk', 'tier=gold', '--delete')).toMatchObject({
      deleted: ['disk', 'tier'],
    });
    expect(Object.keys(host.facts.labels.all()).filter((key) => !key.startsWith('hostcore.'))).toEqual(['zone']);
    const refused = await cli('label', host.id, 'hostcore.os=x');
    expect([refused.code, refused.stderr]).toEqual([4, expect.stringContaining('hostcore.*')]);
  });
});

describe('watch events', () => {
  it('prints what happens as it happens, and ends after so many or on a signal', async () => {
    await using all = new Program('cli', ['watch', 'events'], { env: envOf() });
    await using one = new Program('cli', ['watch', 'events', '--event', 'config_set', '--count', '1', '-o', 'json'], {
      env: envOf(),
    });
    await expect.poll(() => all.stderr).toContain('Listening');
    // The second one says nothing before its event, so it is made until it has heard one.
    await expect.poll(() => ok('config', 'put', 'watched', 'n=1').then(() => one.stdout)).toContain('config_set');
    const end = await one.ended;
    expect(end.code).toBe(0);
    expect(JSON.parse(end.stdout)).toMatchObject({ name: 'config_set', source: host.id, data: { config_name: 'watched' } });
    await expect.poll(() => all.stdout).toMatch(/^\S+ config_set N\S{7}… config_name=watched$/m);
    all.signal('SIGINT');
    expect((await all.ended).code).toBe(0);
  });
});

describe('what goes on until it is stopped', () => {
  it('goes on after an interruption, and says that there was one', async () => {
    await using own = await startServer();
    const env = { ...envOf(), TRELLIS_CTL_SERVERS: own.url };
    await using looks = new Program('cli', ['get', 'inventory', '--watch', '100'], { env });
    await using events = new Program('cli', ['watch', 'events'], { env });
    await expect.poll(() => looks.stdout).toContain('No host of lattice lab answers.');
    await expect.poll(() => events.stderr).toContain('Listening');
    await own.kill();
    await expect.poll(() => looks.stdout).toContain('note: The connection to NATS is interrupted');
    await own.restart();
    await expect.poll(() => events.stderr).toContain('what happened meanwhile is not shown');
    await expect.poll(() => looks.stdout).toMatch(/interrupted(?:.|\n)*No host of lattice lab answers\./);
    for (const program of [looks, events]) {
      program.signal('SIGINT');
      expect((await program.ended).code).toBe(0);
    }
  });
});

describe('settings that cannot be read', () => {
  it('are an error, and not the lattice that the defaults lead to', async () => {
    const missing = await cli('get', 'hosts', '--config-file', '/nowhere.yaml', '--output', 'json');
    expect([missing.code, code(missing.stdout)]).toEqual([78, 'TRELLIS_CONFIG_INVALID']);
    expect(missing.stdout).toContain('/nowhere.yaml');
    const misspelt = await runProgram('cli', ['down', '--yes'], { env: { ...envOf(), TRELLIS_LATICE: 'lab' } });
    expect([misspelt.code, misspelt.stderr]).toEqual([78, expect.stringContaining('Did you mean TRELLIS_LATTICE?')]);
    expect(host.stops).toEqual([]);
  });
});

describe('down and stop host', () => {
  it('stop the one host there is, and of several only what is said', async () => {
    expect(await ok('down', '--skip-wait')).toContain('was told to stop');
    expect(host.stops).toHaveLength(1);
    await using other = await startControlHost(server.url);
    const [several, silent, stop] = await Promise.all([
      cli('down', '--skip-wait'),
      cli('down', '--all', '--skip-wait'),
      cli('stop', 'host', 'n', '--skip-wait'),
    ]);
    expect([several.code, several.stderr]).toEqual([2, expect.stringMatching(/has 2 hosts: .*(?:.|\n)*--all/)]);
    expect([silent.code, silent.stderr]).toEqual([2, expect.stringContaining('--yes')]);
    expect([stop.code, stop.stderr]).toEqual([2, expect.stringContaining('fits 2 hosts')]);
    expect([host.stops, other.stops]).toEqual([[undefined], []]);
    await ok('down', '--all', '--yes', '--skip-wait');
    await ok('stop', 'host', other.id, '--host-timeout', '500', '--skip-wait');
    expect([host.stops, other.stops]).toEqual([
      [undefined, undefined],
      [undefined, 500],
    ]);
  });

  it('say which hosts did not say that they have stopped', async () => {
    const waited = await cli('down', '--wait-timeout-ms', '300', '--output', 'json');
    expect([waited.code, code(waited.stdout)]).toEqual([6, 'TRELLIS_CONTROL_TIMEOUT']);
    expect(waited.stdout).toContain(host.facts.friendlyName);
  });
});

describe('what hosts of Trellis cannot do', () => {
  it('is said in so many words', async () => {
    const [start, stop] = await Promise.all([
      cli('start', 'provider', 'ref', 'id', '--config', 'x'),
      cli('stop', 'provider', 'id'),
    ]);
    for (const { code: exit, stderr } of [start, stop])
      expect([exit, stderr]).toEqual([2, expect.stringContaining('run no providers yet')]);
  });
});
