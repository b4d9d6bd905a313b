#!/usr/bin/env node
import { launch } from '../setup/launch.mjs';

const runsALattice = ['up', 'demo', 'bench'].includes(process.argv[2]);
await launch('cli/main.js', { withNatsServer: runsALattice });
