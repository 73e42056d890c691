/** A review in the browser, by keys alone, of records that a waiting gate of a real experiment holds. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import test from 'ava';
import type { Browser, Page } from 'playwright-core';
import type { DatasetRef } from '../../schemas/call.ts';
import type { ExperimentRecord } from '../../schemas/experiment.ts';
import { command } from '../cli/cli.ts';
import { hasBrowser, inBrowser, launchBrowser } from '../support/browser.ts';
import { read } from '../support/store.ts';
import { site, until, type Site } from '../support/temporal.ts';

let on: Site;
let browser: Browser;
let pages: ChildProcess | undefined;
test.before(async () => {
  if (!hasBrowser) return;
  on = await site();
  browser = await launchBrowser();
});
test.after.always(async () => {
  pages?.kill('SIGKILL');
  await browser?.close();
  await on?.close();
});

/** Starts `backspin ui` and returns its address. */
async function serve(): Promise<string> {
  const env = { ...process.env, BACKSPIN_HOME: on.services.home, TEMPORAL_ADDRESS: on.env.address };
  pages = spawn(process.execPath, [command, 'ui'], { env, stdio: ['ignore', 'pipe', 'inherit'] });
  for await (const line of createInterface({ input: pages.stdout! })) {
    const address = /http:\S+/.exec(line)?.[0];
    if (address !== undefined) return address;
  }
  throw new Error('no address');
}

const progress = (page: Page) => page.locator('#progress').textContent();
/** Presses a key, and waits until the page shows another record or count. */
async function press(page: Page, key: string): Promise<void> {
  await page.waitForLoadState();
  const before = page.url();
  await page.keyboard.press(key);
  await page.waitForURL((url) => url.href !== before);
  await page.locator('#progress').waitFor();
}

inBrowser(
  'fifty records are reviewed by keys, the page is killed in between, and the gate goes on with what the review left',
  async (t) => {
    t.timeout(1_200_000);
    await on.working(async () => {
      const handle = await on.start('reviewed', 'toy', { rounds: 1, minimum: 1, by: 3, count: 120 }, { review: 50 });
      const { attention } = await until(async () => {
        const now = await handle.query<ExperimentRecord>('progress');
        return now.state === 'attention' && now;
      });
      t.regex(attention[0]!.reason, /^the gate waits for a review of 50 of its 80 records$/);
      const page = await browser.newPage();
      page.setDefaultTimeout(120_000);
      await page.goto(await serve());
      await page.getByRole('link', { name: 'reviewed', exact: true }).click();
      await page.getByRole('link', { name: 'Review the records of r1/gate' }).click();
      for (const key of 'aaraan'.repeat(4)) await press(page, key); // 4 rejected and 4 left for later
      const before = await progress(page);
      pages!.kill('SIGKILL');
      await once(pages!, 'exit');
      await page.goto(await serve());
      await page.goto(new URL('/e/reviewed/review?step=r1/gate', page.url()).href);
      t.is(await progress(page), before);

      await page.waitForLoadState();
      await page.keyboard.press('e');
      await page.keyboard.type('1000000');
      await page.keyboard.press('Tab');
      await press(page, 'Enter');
      while (!/50 of 50/.test((await progress(page))!)) await press(page, 'a');
      t.regex((await progress(page))!, /45 of 50 approved, a precision of 0\.90 \(95 % interval 0\.79 to 0\.96\); 4 rejected, 1 edited/);
      await page.waitForLoadState();
      await page.keyboard.press('s');
      await page.getByText('r1/gate was reviewed: 45 of 50 approved, a precision of 0.90').waitFor();

      const { data } = (await handle.result()) as { data: DatasetRef };
      t.is(data.rows, 76);
      const values = (await read(on.services.store, data)).map(({ value }) => (value as { n: number }).n);
      t.is(values.filter((n) => n >= 1_000_000).length, 1);
      const { steps } = await handle.query<ExperimentRecord>('progress');
      t.like(
        steps.find(({ path }) => path === 'r1/gate-reviewed'),
        { operation: 'std.review', state: 'completed' },
      );
    });
  },
);
