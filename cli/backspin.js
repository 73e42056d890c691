#!/usr/bin/env node
// Runs the command from its sources. Node keeps what it made of them, so that types are stripped once and not at each start.
import module from 'node:module';
import { join } from 'node:path';

if (Number(process.versions.node.split('.')[0]) < 24) {
  console.error(
    `backspin needs Node 24 or newer, and this is ${process.versions.node}: install one, or run \`npx backspin\` in a checkout, where set-up has put one.`,
  );
  process.exit(1);
}
module.enableCompileCache(join(import.meta.dirname, '..', 'node_modules', '.cache', 'backspin'));
await import('./backspin.ts');
