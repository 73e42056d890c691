/** The pages of `backspin ui` in a browser, over what two experiments left in a store. */
import test, { type ExecutionContext } from 'ava';
import type { Browser, BrowserContext, Page } from 'playwright-core';
import { servePages, type Serving } from '../../pages/serve.ts';
import { hasBrowser, inBrowser, launchBrowser } from '../support/browser.ts';
import { HOSTILE, judgedHome, type Judged } from '../support/judged.ts';

let home: Judged;
let serving: Serving;
let browser: Browser;
test.before(async () => {
  if (!hasBrowser) return;
  home = await judgedHome(120);
  serving = await servePages(home.store, 0);
  browser = await launchBrowser();
});
test.after.always(async () => {
  await browser?.close();
  await serving?.close();
});

/** A page that has the cookie. What the browser complains about, a broken policy too, fails the test. */
async function see(t: ExecutionContext, path: string, look: (page: Page, context: BrowserContext) => Promise<void>, script = true) {
  const context = await browser.newContext({ javaScriptEnabled: script, viewport: { width: 1400, height: 900 } });
  context.setDefaultTimeout(120_000);
  try {
    const page = await context.newPage();
    const complaints: string[] = [];
    page.on('console', (message) => complaints.push(message.text()));
    page.on('pageerror', (error) => complaints.push(error.message));
    await page.goto(serving.address);
    await page.goto(new URL(path, serving.address).href);
    await look(page, context);
    t.deepEqual(complaints, []);
  } finally {
    await context.close();
  }
}
const rows = (page: Page) => page.locator('table.records tbody tr');

inBrowser('an experiment leads to the records that a step dropped, and they lead to the journey of one', async (t) => {
  t.timeout(1_200_000);
  await see(t, '/', async (page) => {
    await page.getByRole('link', { name: 'judged', exact: true }).click();
    await page.getByRole('heading', { name: 'Measured' }).waitFor();
    t.is(await page.locator('svg.chart').count(), 2);
    await page.getByRole('link', { name: '12 no-score' }).first().click();
    await rows(page).first().waitFor();
    t.is(await rows(page).count(), 12);
    await rows(page).first().getByRole('link').click();
    await page.getByText('dropped: no-score').first().waitFor();
    t.regex((await page.locator('main').textContent())!, /From texts\.md:10/);
    await page.getByText('what scorer was asked').first().click();
    await page.getByText('Rate it from 1 to 5').first().waitFor();
  });
});

inBrowser('filters narrow the records in place, and the address shows the same again, without scripts too', async (t) => {
  t.timeout(1_200_000);
  const filtered = `/e/judged/records?step=r1/judge&text=${encodeURIComponent('what of 1')}&field=score&least=4&sort=-score`;
  let found = 0;
  await see(t, '/e/judged/records?step=r1/judge', async (page) => {
    t.is(await rows(page).count(), 50);
    await page.getByLabel('text in any field').fill('what of 1');
    await page.waitForURL(/text=what(\+|%20)of/);
    await page.getByLabel('number').selectOption('score');
    await page.getByLabel('from').fill('4');
    await page.waitForURL(/least=4/);
    await page.getByLabel('order').selectOption('-score');
    await page.waitForURL(/sort=-score/);
    await page.locator('figure svg').waitFor();
    found = await rows(page).count();
    t.true(found > 0 && found < 50, `${found}`);
    t.is(await rows(page).first().locator('td').last().textContent(), '5');
  });
  await see(t, filtered, async (page) => void t.is(await rows(page).count(), found), false);
});

inBrowser('a step of many records is shown in pages', async (t) => {
  await see(t, '/e/judged/records?step=r1/judge', async (page) => {
    await page.getByText('1 to 50 of 108 records').first().waitFor();
    await page.getByRole('link', { name: 'next →' }).first().click();
    await page.getByText('51 to 100 of 108 records').first().waitFor();
  });
});

inBrowser('script, control characters and writing direction in a record are shown as text', async (t) => {
  await see(t, '/e/judged/records?step=data-corpus', async (page) => {
    const text = (await rows(page).first().locator('td').last().textContent())!;
    t.is(text.trim(), HOSTILE.replaceAll('\u202e', '\\u202e').replaceAll('\u202c', '\\u202c').replaceAll('\u001b', '\\x1b'));
    t.is(await page.title(), 'data-corpus · backspin');
    t.is(await page.locator('main img').count(), 0);
  });
});

inBrowser('two rounds stand side by side, the lineage is a graph, and two experiments are compared', async (t) => {
  t.timeout(1_200_000);
  await see(t, '/e/judged/beside?a=r1/judge&b=r1/curated', async (page) => {
    await page.getByText('42 records are in both.').waitFor();
    t.is(await page.locator('.beside section').count(), 2);
  });
  await see(t, '/e/judged/lineage', async (page) => {
    t.is(await page.locator('svg.lineage g').count(), 12);
    t.true((await page.locator('svg.lineage path').count()) >= 7);
    await page.locator('svg.lineage text', { hasText: 'r2/curated' }).click();
    await rows(page).first().waitFor();
  });
  await see(t, '/compare?a=judged&b=strict', async (page) => {
    await page.getByText('parameters.keep.threshold: 4 -> 5').waitFor();
    await page.getByText('params.where.score.atLeast: 4 -> 5').waitFor();
  });
});
