#!/usr/bin/env node
// Runs the command from its sources. Node keeps what it made of them, so that types are stripped once and not at each start.
import { enableCompileCache } from 'node:module';
import { join } from 'node:path';

enableCompileCache(join(import.meta.dirname, '..', 'node_modules', '.cache', 'backspin'));
await import('./backspin.ts');
