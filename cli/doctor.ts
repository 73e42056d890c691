/** `backspin doctor`: what is there, what is missing, and what to do about it. Exit code 1 when something is wrong. */
import { checks, type Finding } from '../host/checks.ts';
import { sentenceOf } from './terminal/failure.ts';
import { printJson, table } from './terminal/text.ts';

export async function run({ json }: { json?: boolean }): Promise<number> {
  const findings: Finding[] = [];
  for (const check of checks) {
    try {
      findings.push(...(await check()));
    } catch (error) {
      findings.push({ what: check.name, is: 'unknown', problem: sentenceOf(error) ?? (error as Error).message });
    }
  }
  const problems = findings.filter(({ problem }) => problem !== undefined);
  if (json) printJson({ ok: problems.length === 0, findings });
  else {
    console.log(
      table(
        ['', 'what', 'is'],
        findings.map(({ what, is, problem }) => [problem === undefined ? '✓' : '✗', what, is]),
      ),
    );
    for (const { what, problem } of problems) console.log(`\n${what}: ${problem}`);
  }
  return problems.length === 0 ? 0 : 1;
}
