#!/usr/bin/env node
// The daemon for virtual machines: `node host.js --help`.
import { launch } from './setup/launch.mjs';

await launch('daemon/main.js', { withNatsServer: false });
