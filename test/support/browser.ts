/** Starts the browser that set-up found or unpacked. Without one, its tests count as skipped. */
import test from 'ava';
import { chromium, type Browser } from 'playwright-core';
import { readSetup } from '../../host/setup.ts';

const { browser } = readSetup();

export const hasBrowser = browser !== null;
/** `test.serial` if there is a browser, else a skipped test. */
export const inBrowser = hasBrowser ? test.serial : test.serial.skip;

/** Runs the browser without a network beyond this machine, as root too. */
export function launchBrowser(): Promise<Browser> {
  const flags =
    '--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync';
  return chromium.launch({ executablePath: browser!, headless: true, args: flags.split(' ') });
}
