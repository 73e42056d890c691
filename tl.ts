import { load } from './test/support/load.ts';
const [ms = '250', n = '10000'] = process.argv.slice(2);
const on: any = await load({ slots: 256, milliseconds: +ms, characters: 1000 });
const before = await on.count();
const samples: any[] = [];
const t0 = Date.now();
const poll = setInterval(async () => {
  const c = await on.count();
  samples.push([Date.now() - t0, c.served, Math.round(c.worked)]);
}, 250);
const r = await on.run({ records: +n, steps: 2, slots: 256 });
clearInterval(poll);
console.log('RUN', r.seconds, 'started', new Date(t0).toISOString());
for await (const w of on.site.env.client.workflow.list()) {
  const h = await on.site.env.client.workflow.getHandle(w.workflowId, w.runId).fetchHistory();
  const at = (e: any) => Number(e.eventTime.seconds) * 1000 + e.eventTime.nanos / 1e6 - t0;
  const names = new Map();
  console.log(w.workflowId, w.type, h.events.length);
  for (const e of h.events) {
    const s = e.activityTaskScheduledEventAttributes;
    if (s) names.set(String(e.eventId), s.activityId);
    const st = e.activityTaskStartedEventAttributes,
      d = e.activityTaskCompletedEventAttributes;
    if (w.type === 'experiment' || process.argv[4])
      console.log(
        Math.round(at(e)),
        e.eventType,
        s?.activityId ??
          (st ? 'start ' + names.get(String(st.scheduledEventId)) : d ? 'done ' + names.get(String(d.scheduledEventId)) : ''),
      );
  }
}
console.log(samples.map((s) => s.join(' ')).join('\n'));
await on.close();
process.exit();
