/** What an experiment knows of its past, and what it asks again. */
import test from 'ava';
import type { StepCall, DatasetRef, ReportRef } from '../../schemas/call.ts';
import type { ExperimentInput } from '../../schemas/messages.ts';
import { Ledger } from '../../workflows/ledger.ts';

const digest = (letter: string) => letter.repeat(64);
const report = (letter: string): ReportRef => ({ kind: 'report', digest: digest(letter), metrics: {}, oracle: false });
const ledgerOf = (carried?: Partial<NonNullable<ExperimentInput['carried']>>) => new Ledger({ pins: {}, carried } as ExperimentInput);

test('a question is answered once for the reports that it was asked on, in later runs too', (t) => {
  let asked = 0;
  const rule = () => ++asked;
  const ledger = ledgerOf();
  t.is(ledger.decide('r1/enough', { sum: report('a') }, rule), 1);
  t.is(ledger.decide('r1/enough', { sum: report('a') }, rule), 1);
  t.is(ledgerOf(ledger.carried()).decide('r1/enough', { sum: report('a') }, rule), 1);
});

test('a question on a report that was made again, with another result, is asked again', (t) => {
  const rows: DatasetRef = { kind: 'dataset', digest: digest('d'), rows: 1 };
  const sums = { verb: 'reduce', path: 'r1/total', inputs: { of: rows } } as unknown as StepCall;
  const ledger = ledgerOf();
  ledger.add('gives rows', { result: rows, stepKey: digest('1'), cached: false });
  ledger.add('sums', { result: report('a'), stepKey: digest('2'), cached: false });
  t.true(ledger.decide('r1/enough', { sum: report('a') }, () => true));

  t.true(ledger.invalidateMissingInputs(sums, 'sums'), 'its input is gone from the store');
  t.false('gives rows' in ledger.steps);
  t.false(
    ledger.decide('r1/enough', { sum: report('b') }, () => false),
    'the answer on the report of before does not hold for this one',
  );
  t.false(ledger.invalidateMissingInputs(sums, 'sums'), 'once for each step');
});

test('a fork takes the result of its parent for a step with the same inputs, and no other', (t) => {
  const rows = (letter: string): DatasetRef => ({ kind: 'dataset', digest: digest(letter), rows: 1 });
  const call = (of: DatasetRef) => ({ verb: 'reduce', operation: 'std.mix', path: 'mixed', inputs: { of } }) as unknown as StepCall;
  const entry = { result: rows('r'), stepKey: digest('1'), cached: false };
  const ledger = new Ledger({ pins: { mixed: { entry, inputs: [digest('a')] } } } as unknown as ExperimentInput);
  t.is(ledger.known(call(rows('b')), 'of b'), undefined);
  t.deepEqual(ledger.known(call(rows('a')), 'of a'), { ...entry, cached: true });
});
