/** `backspin doctor`: checks the installation and names remedies. Exit code 1 if it finds a problem. */
import { checks, type Finding } from '../host/checks.ts';
import { explainError } from './terminal/failure.ts';
import { printJson, table } from './terminal/text.ts';

export async function run({ json }: { json?: boolean }): Promise<number> {
  const findings: Finding[] = [];
  for (const check of checks) {
    try {
      findings.push(...(await check()));
    } catch (error) {
      findings.push({ what: check.name, is: 'unknown', problem: explainError(error) ?? (error as Error).message });
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
