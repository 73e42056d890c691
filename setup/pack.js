#!/usr/bin/env node
// Makes the npm package: emits JavaScript and types into `dist/`, adds what is no TypeScript, and packs it. `npm run pack`, or with
// another folder than the checkout `npm run pack -- FOLDER`.
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { bin, root } from './paths.js';

const to = path.resolve(process.argv[2] ?? root);
const dist = path.join(to, 'dist');
const at = (...parts) => path.join(dist, ...parts);

fs.rmSync(dist, { recursive: true, force: true });
execFileSync(path.join(bin, 'tsc'), ['-p', path.join(root, 'setup', 'tsconfig.pack.json'), '--outDir', dist], { stdio: 'inherit' });

// The launcher has the name of the module that it starts.
for (const end of ['.js', '.d.ts']) fs.renameSync(at('cli', `backspin${end}`), at('cli', `main${end}`));
const launcher = fs.readFileSync(path.join(root, 'cli', 'backspin.js'), 'utf8');
write('cli/backspin.js', launcher.replace("'./backspin.ts'", "'./main.js'"));
fs.chmodSync(at('cli', 'backspin.js'), 0o755);

copy('devices', (file) => file.endsWith('.sh'));
copy('trainer', (file) => !/(^|\/)(tests|__pycache__|\.pytest_cache)(\/|$)|\.pyc$/.test(file));
copy('setup', (file) => /\.(js|py|lock)$/.test(file) && file !== 'setup/pack.js');
copy('deploy', () => true);
for (const file of ['setup.js', 'LICENSE', 'README.md', 'CHANGELOG.md', 'SECURITY.md']) fs.copyFileSync(path.join(root, file), at(file));
copy('docs', (file) => file.endsWith('.md'));
copy('examples', (file) => !file.endsWith('.ts'));
// Node runs no TypeScript below node_modules.
for (const file of fs.globSync('examples/**/*.yaml', { cwd: dist }))
  write(file, fs.readFileSync(at(file), 'utf8').replaceAll(/(\w)\.ts\b/g, '$1.js'));

const { devDependencies, scripts, overrides, allowScripts, ...kept } = JSON.parse(fs.readFileSync(path.join(root, 'package.json'), 'utf8'));
const exported = { '.': { types: './recipe/index.d.ts', default: './recipe/index.js' } };
write('package.json', JSON.stringify({ ...kept, engines: { node: '>=24' }, exports: exported }, null, 2) + '\n');
execFileSync('npm', ['pack', dist, '--pack-destination', to, '--loglevel=error'], { stdio: 'inherit' });

function write(file, text) {
  fs.mkdirSync(path.dirname(at(file)), { recursive: true });
  fs.writeFileSync(at(file), text);
}

/** Copies the tracked files of a folder that `wanted` names, by their paths from the root. */
function copy(folder, wanted) {
  for (const entry of fs.readdirSync(path.join(root, folder), { recursive: true, withFileTypes: true })) {
    const file = path.relative(root, path.join(entry.parentPath, entry.name));
    if (!entry.isFile() || !wanted(file)) continue;
    fs.mkdirSync(path.dirname(at(file)), { recursive: true });
    fs.copyFileSync(path.join(root, file), at(file)); // keeps the mode
  }
}
