/** What a person sees of an experiment in the Temporal UI: a real server with its UI, living workers, a headless browser. */
import { join } from 'node:path';
import test, { type ExecutionContext } from 'ava';
import type { Browser, Frame, Page } from 'playwright-core';
import { isRef } from '../../schemas/call.ts';
import type { ExperimentRecord } from '../../schemas/experiment.ts';
import { workflowId } from '../../schemas/names.ts';
import { root } from '../cli/cli.ts';
import { hasBrowser, inBrowser, launchBrowser } from '../support/browser.ts';
import { site, until, type Site } from '../support/temporal.ts';

interface Shown {
  readonly record: ExperimentRecord;
  /** The page of its run, without a tab. */
  readonly address: string;
}
let on: Site;
let browser: Browser;
let stop: () => Promise<void>;
let done: Shown;
let waiting: Shown;

test.before(async () => {
  if (!hasBrowser) return;
  on = await site({ ui: true });
  const workers = await Promise.all([on.orchestrator(), on.data()]);
  const running = Promise.all(workers.map((worker) => worker.run()));
  stop = async () => {
    for (const worker of workers) worker.shutdown();
    await running;
  };
  done = await shown('done', { rounds: 2, minimum: 1, by: 3 }, 'completed');
  waiting = await shown('waiting', { rounds: 2, minimum: 1000, by: 5 }, 'attention');
  browser = await launchBrowser();
});
test.after.always(async () => {
  await browser?.close();
  await stop?.();
  await on?.close();
});

async function shown(name: string, parameters: object, state: ExperimentRecord['state']): Promise<Shown> {
  const handle = await on.start(name, 'toy', parameters);
  const record = await until(async () => {
    const now = await handle.query<ExperimentRecord>('progress');
    return now.state === state && now;
  });
  return { record, address: `/namespaces/default/workflows/${handle.workflowId}/${handle.firstExecutionRunId}` };
}

/** Shows `look` a page of the UI, and leaves a picture of it where that fails. */
async function see(t: ExecutionContext, address: string, look: (page: Page) => Promise<void>): Promise<void> {
  const page = await browser.newPage({ viewport: { width: 1400, height: 1000 } });
  try {
    await page.goto(on.ui + address);
    await look(page);
  } catch (error) {
    const path = join(root, 'node_modules/.cache/ui', `${t.title.toLowerCase().replaceAll(/[^a-z]+/g, '-')}.png`);
    await page.screenshot({ path });
    t.log(path);
    throw error;
  } finally {
    await page.close();
  }
}

/** The frame that shows Markdown with `text` in it. */
const markdown = (page: Page, text: string): Promise<Frame> =>
  until(async () => {
    for (const frame of page.frames()) {
      const said = await frame
        .locator('body')
        .textContent()
        .catch(() => null); // frames come and go
      if (frame !== page.mainFrame() && said?.includes(text)) return frame;
    }
    return undefined;
  });
const cells = async (frame: Frame): Promise<string[][][]> => {
  const tables = await frame.locator('table').all();
  const rows = await Promise.all(tables.map((table) => table.locator('tr').all()));
  return Promise.all(rows.map((table) => Promise.all(table.map((row) => row.locator('th, td').allTextContents()))));
};
/** How an experiment or stage is called where it is linked to. */
const links = async (page: Page): Promise<string[]> => {
  const texts = await page.locator('a[href*="/workflows/"]').allTextContents();
  const ids = texts.map((text) => text.trim()).filter((text) => text.startsWith(`${on.services.store.id}.`));
  return [...new Set(ids)].toSorted();
};

const finds = test.macro({
  title: (_, query: string) => `an experiment is found by ${query}`,
  async exec(t, query: string, names: readonly string[]) {
    const ids = names.map((name) => workflowId.experiment(on.services.store.id, name));
    const total = new RegExp(`^\\s*${ids.length}\\s+Workflows?`);
    await see(t, `/namespaces/default/workflows?query=${encodeURIComponent(query)}`, async (page) => {
      await page.locator('h1', { hasText: total }).waitFor();
      await until(async () => (await links(page)).length === ids.length);
      t.deepEqual(await links(page), ids);
    });
  },
});
inBrowser(finds, 'BackspinRecipe = "toy"', ['done', 'waiting']);
inBrowser(finds, 'BackspinState = "attention"', ['waiting']);
inBrowser(finds, 'BackspinExperiment = "done" AND BackspinRound = 2', ['done']);

inBrowser('its page tabulates the rounds: what was measured, how many steps are done, how many rows came out', async (t) => {
  const rows = (path: string): number => {
    const { result } = done.record.steps.find((step) => step.path === path)!;
    return result && isRef(result) && result.kind === 'dataset' ? result.rows : NaN;
  };
  const sieved = [rows('r1/sieve'), rows('r2/sieve')] as const;
  await see(t, `${done.address}/user-metadata`, async (page) => {
    await markdown(page, 'toy: done');
    const frame = await markdown(page, 'toy · completed · round 2');
    t.deepEqual(await cells(frame), [
      [
        ['round', 'rows'],
        ['1', `${sieved[0]}`],
        ['2', `${sieved[1]}`],
      ],
      [
        ['round', 'steps done', 'rows'],
        ['0', '2 of 2', 'data-numbers 20, double 20'],
        ['1', '4 of 4', `sieve ${sieved[0]}, select ${rows('r1/select')}`],
        ['1 other', '1 of 1', `fragile ${sieved[0]}`],
        ['2', '4 of 4', `sieve ${sieved[1]}, select ${rows('r2/select')}`],
        ['2 other', '1 of 1', `fragile ${sieved[1]}`],
      ],
    ]);
    const lowest = frame.locator('tr').last();
    const { y, height } = (await lowest.boundingBox())!;
    const framed = (await (await frame.frameElement()).boundingBox())!;
    t.true(y + height <= framed.y + framed.height, 'the last row is not cut off');
  });
});

inBrowser('where it waits, its page says for what, and the command that lets it go on', async (t) => {
  await see(t, `${waiting.address}/user-metadata`, async (page) => {
    const frame = await markdown(page, 'toy · attention · round 1');
    const said = await frame.locator('blockquote').textContent();
    t.regex(said!, /^\s*r1\/gate waits: the gate wants at least 1000 records and has \d+\. .*backspin approve waiting/);
  });
});

inBrowser('its stages are its children', async (t) => {
  const maps = done.record.steps.filter(({ kind }) => kind === 'map');
  const stages = maps.map(({ operation, stepKey }) => workflowId.stage(on.services.store.id, operation, stepKey!));
  const family = [done.record.workflowId, ...stages].toSorted();
  t.is(stages.length, 5);
  await see(t, `${done.address}/relationships`, async (page) => {
    await until(async () => (await links(page)).length === family.length);
    t.deepEqual(await links(page), family);
  });
});

inBrowser('its history names each step by its path', async (t) => {
  await see(t, `${done.address}/history`, async (page) => {
    await page.getByText('compute • r1/select: std.select').first().waitFor();
    await page.getByText('r1/other/fragile: toy.fragile over').first().waitFor();
    t.pass();
  });
});
