import { component, componentNames, host } from './build.mjs';
import { dependencies } from './dependencies.mjs';
import { dockerRegistry } from './docker-registry.mjs';
import { natsServer } from './nats-server.mjs';
import { findNode } from './own-node.mjs';
import { createProgress } from './progress.mjs';
import { alone, notWritable } from './tree.mjs';

/**
 * Makes this source tree ready to run, doing only what is missing, and returns the Node that runs Trellis.
 * `quiet` prints a line only for a step that had something to do. Several set-ups at once wait for each other.
 *
 * @param {{ quiet: boolean, withNatsServer: boolean, withRegistry?: boolean }} options
 * @returns {Promise<{ node: string }>}
 */
export async function setUp({ quiet, withNatsServer, withRegistry = false }) {
  const progress = createProgress({ quiet });
  const startMs = performance.now();
  progress.say('Setting up Trellis');
  try {
    const node = await prepare(progress, { withNatsServer, withRegistry });
    progress.say(`Ready after ${((performance.now() - startMs) / 1000).toFixed(1)} s\n`);
    return { node };
  } catch (error) {
    throw notWritable(error);
  }
}

async function prepare(progress, { withNatsServer, withRegistry }) {
  await step(progress, 'dependencies', {
    inPlace: () => dependencies.inPlace(),
    run: async (working) => dependencies.run(working),
    done: 'in place',
  });
  const node = await progress.step('node', async () => {
    const found = await findNode();
    return { text: `${found.version}, ${found.own ? "Trellis' own" : "this machine's"}`, value: found.path };
  });
  if (withNatsServer) {
    await progress.step('nats-server', async (working) => {
      const tried = [];
      const found =
        (await natsServer.find(tried)) ??
        (await alone(waiting(working), async () => (await natsServer.find([])) ?? natsServer.fetch(working, tried)));
      return { text: `${found.version}, from ${found.from}` };
    });
  }
  if (withRegistry) {
    await progress.step('docker-registry', async (working) => {
      const found =
        (await dockerRegistry.find()) ??
        (await alone(waiting(working), async () => (await dockerRegistry.find()) ?? dockerRegistry.fetch(working)));
      if (found.missing === undefined) return { text: `${found.version}, from ${found.from}` };
      return {
        text: `none (${found.missing}); tests of pulls will fail without: install docker-registry, or set DOCKER_REGISTRY`,
      };
    });
  }
  await step(progress, 'build', {
    inPlace: () => host.inPlace(),
    run: async (working) => {
      working('compiling src to dist');
      await host.run(node);
      return 'src compiled to dist';
    },
    done: 'dist is up to date',
  });
  for (const name of componentNames()) {
    await step(progress, name, {
      inPlace: () => component.inPlace(name),
      run: async (working) => {
        working('building the component');
        await component.run(name, node);
        return 'component built';
      },
      done: 'component is up to date',
    });
  }
  return node;
}

/** A step that looks first, and looks again once no other set-up is at work. */
async function step(progress, name, { inPlace, run, done }) {
  await progress.step(name, async (working) => {
    if (inPlace()) return { text: done };
    return alone(waiting(working), async () => ({ text: inPlace() ? done : await run(working) }));
  });
}

const waiting = (working) => (pid) => working(`waiting for another set-up, process ${pid}`);
