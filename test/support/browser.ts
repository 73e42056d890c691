/** The browser that set-up found or unpacked. Tests that need it are skipped, and counted so, where there is none. */
import test from 'ava';
import { chromium, type Browser } from 'playwright-core';
import { readSetup } from '../../host/setup.ts';

const { browser } = readSetup();

export const hasBrowser = browser !== null;
/** `test.serial` where there is a browser. */
export const inBrowser = hasBrowser ? test.serial : test.serial.skip;

/** Sees the network of this machine alone, as root too. */
export function launchBrowser(): Promise<Browser> {
  const flags =
    '--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-component-update --disable-sync';
  return chromium.launch({ executablePath: browser!, headless: true, args: flags.split(' ') });
}
