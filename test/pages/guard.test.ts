/** Who gets to see the pages, and what they let a browser do. */
import test from 'ava';
import { createApp } from '../../pages/app.ts';
import { judgedHome, HOSTILE } from '../support/judged.ts';

const TOKEN = 'a-token-of-this-session';
let app: ReturnType<typeof createApp>;
test.before(async () => {
  app = createApp({ store: (await judgedHome()).store, token: TOKEN, port: () => 4100 });
});
const request = (path: string, headers: Record<string, string> = {}, method = 'GET') =>
  app.request(`http://127.0.0.1:4100${path}`, {
    method,
    headers: { host: '127.0.0.1:4100', cookie: `backspin-4100=${TOKEN}`, ...headers },
  });

test('without the token nothing is shown; the address with it gives a cookie that scripts and other sites cannot have', async (t) => {
  for (const cookie of ['', 'backspin-4100=wrong', `backspin-9=${TOKEN}`]) t.is((await request('/', { cookie })).status, 401);
  for (const path of ['/style.css', '/e/judged', '/?token=wrong']) t.is((await request(path, { cookie: '' })).status, 401);
  const given = await request(`/e/judged?token=${TOKEN}&x=1`, { cookie: '' });
  t.is(given.status, 303);
  t.is(given.headers.get('location'), '/e/judged?x=1');
  t.regex(given.headers.get('set-cookie')!, /HttpOnly; SameSite=Strict/);
  t.is((await request('/')).status, 200);
});

test('another host name and another site are refused, and changes that come from no page of this server', async (t) => {
  t.is((await request('/', { host: 'evil.example:4100' })).status, 421);
  t.is((await request('/', { host: '127.0.0.1:4101' })).status, 421);
  t.is((await request('/', { origin: 'http://evil.example' })).status, 403);
  t.is((await request('/', { origin: 'null' })).status, 403);
  t.is((await request('/', { origin: 'http://127.0.0.1:4100' })).status, 200);
  t.is((await request('/', {}, 'PUT')).status, 405);
  for (const path of ['/', '/e/judged/review', '/e/judged/review/send']) {
    t.is((await request(path, {}, 'POST')).status, 403);
    t.is((await request(path, { origin: 'http://evil.example' }, 'POST')).status, 403);
    t.is((await request(path, { origin: 'http://127.0.0.1:4100', cookie: '' }, 'POST')).status, 401);
  }
});

test('a page allows no inline script or style, no other address and no frame, and has none', async (t) => {
  const answer = await request('/e/judged/records?step=r1/judge');
  const policy = answer.headers.get('content-security-policy')!;
  t.regex(policy, /default-src 'none'.*frame-ancestors 'none'/);
  t.notRegex(policy, /unsafe|\*|data:/);
  for (const path of [
    '/',
    '/e/judged',
    '/e/judged/lineage',
    '/e/judged/records?step=r1/judge&field=score',
    '/e/judged/review?step=r1/judge',
    '/compare?a=judged&b=strict',
  ]) {
    const body = await (await request(path)).text();
    t.notRegex(body, /<script>|<style|\sstyle=|\son\w+="/, path);
  }
});

test('what a model wrote is text wherever it stands, in an address too', async (t) => {
  for (const path of [
    '/e/judged/records?step=backtranslate',
    '/e/judged/review?step=backtranslate&sample=30',
    `/e/judged/records?step=backtranslate&text=${encodeURIComponent(HOSTILE)}`,
    `/e/judged/records?step=${encodeURIComponent(HOSTILE)}`,
    `/e/${encodeURIComponent(HOSTILE)}`,
  ]) {
    const body = await (await request(path)).text();
    t.false(body.includes('<script>document'), path);
    t.false(body.includes('<img'), path);
    // oxlint-disable-next-line no-control-regex
    t.notRegex(body.replace(/name="text" value="[^"]*"/, ''), /[\u202e\u001b]/, path); // a field has what was put in
  }
});

test('what is not there is a page that says so', async (t) => {
  const missing = await request('/e/judgd');
  t.is(missing.status, 404);
  t.regex(await missing.text(), /There is no experiment .*judgd.*; the nearest is .*judged/);
  t.is((await request('/nowhere')).status, 404);
  t.is((await request('/e/judged/records?step=r9/judge')).status, 404);
});
