/** `backspin trace NAME ID`: prints the journey of one record through all steps. Needs no server. */
import { currentRecord } from '../experiments/current.ts';
import { journeyOf, type Journey, type JourneyEvent } from '../experiments/journey.ts';
import { experimentOf } from '../experiments/record.ts';
import type { Exchange } from '../steps/replay.ts';
import { openHome } from '../host/home-store.ts';
import { printJson } from './terminal/text.ts';

interface Options {
  readonly full?: boolean;
  readonly json?: boolean;
}

/** Characters of a text that is not shown whole. */
const SHORT = 400;

export async function run(name: string, id: string, { full = false, json }: Options): Promise<void> {
  const store = await openHome();
  const journey = await journeyOf(store, await currentRecord(await experimentOf(store, name)), id);
  if (json) return printJson(journey);
  console.log(formatJourney(journey, full ? Infinity : SHORT).join('\n'));
}

function formatJourney({ id, origin, events, unasked }: Journey, most: number): string[] {
  const shown = new Set<string>();
  const lines = [`record ${id}${origin === null ? '' : `, from ${origin}`}`];
  for (const event of events) {
    lines.push('', heading(event));
    if (event.reason !== null && event.evidence !== null) lines.push(...field('evidence', event.evidence, most));
    if (!shown.has(event.id)) lines.push(...fieldsOf(event.value, most));
    shown.add(event.id);
    for (const exchange of event.asked?.exchanges ?? []) lines.push(...exchangeLines(exchange, most));
    if (event.asked && event.asked.changed.length > 0)
      lines.push(`  (rendered by today's prompt; the version of ${event.asked.changed.join(', ')} has changed since)`);
  }
  return unasked === null ? lines : [...lines, '', `What models were asked cannot be shown: ${unasked}`];
}

const relations = { itself: 'it', ancestor: 'what it was made of', descendant: 'what was made of it' } as const;

function heading({ path, operation, what, reason, relation, id }: JourneyEvent): string {
  const outcome = what === 'dropped' ? `dropped as ${reason}` : what;
  return `${path} (${operation}): ${outcome}${relation === 'itself' ? '' : ` · ${relations[relation]}, ${id.slice(0, 12)}`}`;
}

function exchangeLines({ role, prompt, continuations, reply }: Exchange, most: number): string[] {
  const asked = 'messages' in prompt ? prompt.messages.map((turn) => [turn.role, turn.content] as const) : [];
  const prefill = 'messages' in prompt && prompt.prefill !== undefined ? field('  opening', prompt.prefill, most) : [];
  const raw = 'text' in prompt ? field('  text', prompt.text, most) : 'tokens' in prompt ? [`    ${prompt.tokens.length} tokens`] : [];
  return [
    `  asked ${role}`,
    ...asked.flatMap(([turn, content]) => field(`  ${turn}`, content, most)),
    ...prefill,
    ...raw,
    ...(continuations ?? []).flatMap((one) => field('  continuation', one, most)),
    ...(reply === null ? [] : field('  reply', reply, most)),
  ];
}

const fieldsOf = (value: unknown, most: number): string[] =>
  Object.entries(typeof value === 'object' && value !== null ? value : { value }).flatMap(([key, one]) => field(key, one, most));

function field(key: string, value: unknown, most: number): string[] {
  const text = typeof value === 'string' ? value : JSON.stringify(value);
  const cut = text.length > most ? `${text.slice(0, most / 2)} … ${text.slice(-most / 2)} (${text.length} characters)` : text;
  if (!cut.includes('\n')) return [`  ${key}: ${cut}`];
  return [`  ${key}:`, ...cut.split('\n').map((line) => `${' '.repeat(key.length - key.trimStart().length)}    ${line}`)];
}
