#!/usr/bin/env node
/** Parses the command line of `backspin`. Loads only the parser before the verb is known, so that `--help` is fast. */
import { Argument, Command, CommanderError, Option } from 'commander';
import { collect, gigabytes, integerOption, json, metricsOption, port, setOption, time } from './options.ts';

/** EX_USAGE of sysexits.h. */
const USAGE = 64;

type Verb<A extends unknown[]> = { run(...args: A): Promise<number | void> };
/** Loads a verb's module when the verb runs; its `run` returns the exit code. */
const lazy =
  <A extends unknown[]>(load: () => Promise<Verb<A>>) =>
  async (...args: A) => {
    (await import('./terminal/terminal.ts')).guardConsole();
    process.exitCode = (await (await load()).run(...args)) ?? 0;
  };

const program = new Command('backspin')
  .description('Durable self-alignment for language models: experiments of many rounds as Temporal workflows.')
  .exitOverride()
  .configureHelp({ showGlobalOptions: false })
  .showHelpAfterError('`--help` behind a verb, or alone, tells what there is.')
  .addHelpText('after', '\nState lives in .backspin/ of the working folder; BACKSPIN_HOME moves it.');

program
  .command('up')
  .description('start the workers, and a Temporal dev server (unless environment or profile names a server)')
  .option('--detach', 'return when everything is ready, and continue in the background')
  .option('--pool <name=groups>', 'device groups of a pool, such as cpu=1 (repeatable; default: pools.yaml, else cpu=1)', collect)
  .option('--port <port>', 'port of the dev server (default: the previous one, else a free one)', port)
  .option('--ui-port <port>', 'port of the Temporal UI (default: the previous one, else a free one)', port)
  .option('--low-water <GB>', "begin no new step with less free space on the store's disk (default: 2)", gigabytes)
  .addOption(metricsOption())
  .action(lazy(() => import('./up.ts')));
program
  .command('worker')
  .description('run only these workers on this host, for a Temporal server and an S3 store that hosts share')
  .option('--orchestrator', 'run workflows')
  .option('--data', 'run what needs no device, and requests to external models')
  .option('--pool <name=groups>', 'serve and train on these device groups, such as gpu=auto or cpu=1 (repeatable)', collect)
  .option('--idle-exit <time>', 'end after so long without work, such as 5m', time)
  .option('--drain-before <time>', 'after SIGTERM or SIGUSR1 stop within this time: a training writes its checkpoint (default: 120s)', time)
  .option('--low-water <GB>', "begin no new step with less free space on this host's disk (default: 2)", gigabytes)
  .addOption(metricsOption())
  .action(lazy(() => import('./worker.ts')));
program
  .command('down')
  .description('stop what `up` started')
  .action(lazy(() => import('./down.ts')));
program
  .command('setup')
  .description('find or install what backspin needs beside its npm package: Python packages, the Temporal CLI')
  .option('--workers', 'leave out the Temporal CLI: this host runs workers for a server elsewhere')
  .option('--lm-eval', "install EleutherAI's harness too, for the suite eval.lm-eval")
  .action(lazy(() => import('./setup.ts')));
program
  .command('setup-server')
  .description('prepare the Temporal server that environment or profile names: namespace, retention, search attributes')
  .option(
    '--retention <days>',
    'days for which closed experiments stay in its UI (default: 90; an existing longer one stays)',
    integerOption(1),
  )
  .option('--schema', 'make or update its databases in PostgreSQL instead, which a new server needs before it starts')
  .action(lazy(() => import('./setup-server.ts')));
program
  .command('doctor')
  .description('check versions, server, queues, Python, devices and disk; name each remedy')
  .option(...json)
  .action(lazy(() => import('./doctor.ts')));

program
  .command('init <recipe> [file]')
  .description('write a commented experiment file for your own data (default: RECIPE.yaml), and the schema that editors check it with')
  .action(lazy(() => import('./init.ts')));
program
  .command('plan <file>')
  .description('show what an experiment would do, before anything runs')
  .addOption(setOption())
  .option(...json)
  .option('--mermaid', 'print the steps as a Mermaid graph')
  .action(lazy(() => import('./plan.ts')));
program
  .command('launch <file>')
  .description('start an experiment, or attach to it if it was launched before')
  .option('--name <name>', "name of the experiment (default: the file's)")
  .addOption(setOption())
  .option('--watch', 'watch it to its end: exit code 0 completed, 1 failed or cancelled, 2 attention')
  .action(lazy(() => import('./launch.ts')));
program
  .command('prompt <file-or-name> <step>')
  .description('show what a step asks a model for a record of its data')
  .option('--record <number>', 'the record, counted from 1', integerOption(1), 1)
  .option('--ask', 'send the first request to the model, and show its reply')
  .addOption(setOption())
  .option(...json)
  .action(lazy(() => import('./prompt.ts')));
program
  .command('try <file> <step>')
  .description('run one step of a plan on its first records, as a throw-away experiment, and show what became of them')
  .option('--records <count>', 'number of records', integerOption(1, 1000), 5)
  .addOption(setOption())
  .option(...json)
  .action(lazy(() => import('./try.ts')));
program
  .command('chat <name> [step-or-round]')
  .description('talk with a model of an experiment (default: the last that was trained)')
  .option('--system <text>', 'a system turn')
  .option('--temperature <number>', 'of sampling; 0 decodes greedily', Number, 0.7)
  .option('--max-tokens <count>', 'maximum of tokens in a reply', integerOption(1), 512)
  .action(lazy(() => import('./chat.ts')));
program
  .command('list')
  .description('list all experiments')
  .option(...json)
  .action(lazy(() => import('./list.ts')));
program
  .command('status <name>')
  .description('show where an experiment stands')
  .option(...json)
  .action(lazy(() => import('./status.ts')));
program
  .command('watch <name>')
  .description('follow an experiment to its end')
  .action(lazy(() => import('./watch.ts')));
program
  .command('cancel <name>')
  .description('stop an experiment for good; finished steps stay')
  .action(lazy(() => import('./cancel.ts')));

program
  .command('show <name> <step>')
  .description('show records of a step (its path, the end of its path, or the beginning of its key)')
  .option('--dropped <reason>', 'show records dropped for this reason, with evidence (`all`: for any reason)')
  .option('--where <condition>', 'only records for which this SQL condition holds, such as "score >= 4"')
  .option('--sort <order>', 'in this SQL order, such as score or "score desc"')
  .option('--sample <count>', 'as many records at random', integerOption(1))
  .option('--limit <count>', 'maximum of records to show', integerOption(1), 10)
  .option(...json)
  .action(lazy(() => import('./show.ts')));
program
  .command('logs <name> <step>')
  .description('print the ends of the logs of a step: of its subprocesses, else of its model servers and workers')
  .option('--lines <count>', 'lines of each log', integerOption(1), 40)
  .option('--all', 'print the logs of model servers and workers too')
  .option('--follow', 'print new lines until you press Ctrl-C')
  .action(lazy(() => import('./logs.ts')));
program
  .command('sql <name> <query>')
  .description("run a DuckDB query over an experiment's records: from 'STEP', from 'STEP'.dropped, from steps, drops, metrics")
  .addOption(new Option('--format <format>', 'form of the rows').choices(['table', 'jsonl', 'csv', 'parquet']).default('table'))
  .option('--to <file>', 'write the rows into a file')
  .action(lazy(() => import('./sql.ts')));
program
  .command('trace <name> <id>')
  .description('show the journey of one record (its id, or the beginning of its id) through all steps')
  .option('--full', 'show long texts whole')
  .option(...json)
  .action(lazy(() => import('./trace.ts')));
program
  .command('ui')
  .description('serve pages of all experiments and their records in a browser, on this machine alone')
  .option('--port <port>', 'port of the pages (default: a free one)', port)
  .action(lazy(() => import('./ui.ts')));
program
  .command('compare <a> <b>')
  .description('compare two experiments: configuration, where they part, metrics, and which records only one kept')
  .option(...json)
  .action(lazy(() => import('./compare.ts')));
program
  .command('report <names...>')
  .description('write one HTML file about experiments, without scripts, and its numbers as JSON')
  .option('--to <file>', 'the HTML file; the JSON stands beside it', 'report.html')
  .action(lazy(() => import('./report.ts')));
program
  .command('track <name>')
  .description('write the curves of trainings and the metrics of rounds into an experiment tracker; what it has is not written twice')
  .addOption(new Option('--to <tracker>', 'the tracker').choices(['tensorboard', 'trackio', 'wandb', 'mlflow']).makeOptionMandatory())
  .option('--follow', 'go on until the experiment ends')
  .option('--project <name>', 'project of trackio and wandb, experiment of mlflow', 'backspin')
  .option('--folder <folder>', 'for event files of tensorboard, and runs of wandb', 'runs')
  .option('--python <path>', 'a Python that has the tracker', 'python3')
  .action(lazy(() => import('./track.ts')));
program
  .command('fork <name>')
  .description('start a new experiment that takes its rounds up to K from an old one')
  .requiredOption('--from-round <K>', 'last round to take from the parent', integerOption(0))
  .requiredOption('--name <name>', 'name of the new experiment')
  .addOption(setOption())
  .action(lazy(() => import('./fork.ts')));
program
  .command('export <name> [step]')
  .description('write a model as a folder that transformers loads, a dataset for `load_dataset` (default: the result)')
  .option('--to <folder>', 'a new or empty folder')
  .option('--push <owner/name>', 'upload it to a repository on the Hugging Face Hub, which is made if there is none')
  .option('--private', 'make that repository a private one')
  .addOption(
    new Option('--format <format>', 'form of a dataset (default: jsonl)').choices(
      'jsonl parquet trl-sft trl-dpo sharegpt alpaca'.split(' '),
    ),
  )
  .option('--adapter', 'write a low-rank adapter without its base (default: both merged)')
  .option('--license <id>', 'license that the card names, such as apache-2.0 (default: `license` of the experiment file)')
  .option('--ollama', "write a Modelfile beside a model, with its chat template in Ollama's words")
  .action(lazy(() => import('./export.ts')));

const controlCommand = (verb: string, args: string, about: string) => program.command(`${verb} ${args}`).description(about);
controlCommand('approve', '<name> [step]', 'let a gate pass, or continue a map whose budget is spent with the kept records').action(
  lazy(async () => (await import('./control.ts')).approve),
);
program
  .command('review <name> [step]')
  .description('go through a sample of records by keys, and send the verdicts to the gate that waits for them')
  .option('--sample <count>', "number of records (default: the file's `review`, else 50)", integerOption(1, 10_000))
  .option('--keep-rejected', 'let rejected records go on with the others (default: they are dropped)')
  .addOption(
    new Option('--to <file>', "write the sample as Argilla's records, as JSON lines, or JSON if it ends with .json").conflicts('from'),
  )
  .option('--from <file>', "take verdicts from Argilla's records, and send them")
  .action(lazy(() => import('./review.ts')));
controlCommand('reject', '<name> [step]', 'undo the round of a gate: the experiment ends with what it had before').action(
  lazy(async () => (await import('./control.ts')).reject),
);
controlCommand('set-budget', '<name> [step]', 'change the budget of a map that runs, or that has spent its budget')
  .option('--candidates <count>', 'maximum of records to try', integerOption(1))
  .option('--tokens <count>', 'maximum of tokens that models read and write', integerOption(1))
  .option('--attempts <count>', 'maximum of attempts that operators make', integerOption(1))
  .option('--minutes <count>', 'maximum of minutes of work, added up over workers', integerOption(1))
  .action(lazy(async () => (await import('./control.ts')).setBudget));
controlCommand('retry-step', '<name> [step]', 'run a step in state attention again, with the current files and settings')
  .addOption(setOption())
  .action(lazy(() => import('./retry-step.ts')));
controlCommand('give-up', '<name> [step]', 'give up a waiting step or gate: the experiment fails').action(
  lazy(async () => (await import('./control.ts')).giveUp),
);
controlCommand('pause', '<name>', 'stop the work and release the devices until `resume`').action(
  lazy(async () => (await import('./control.ts')).pause),
);
controlCommand('resume', '<name>', 'continue after a pause').action(lazy(async () => (await import('./control.ts')).resume));
controlCommand('stop', '<name>', 'end an experiment after a round')
  .requiredOption('--after-round <K>', 'the last round', integerOption(0))
  .action(lazy(async () => (await import('./control.ts')).stop));

program
  .command('gc')
  .description('list what the store holds and no experiment needs')
  .option('--apply <plan>', 'remove what this list names')
  .action(lazy(() => import('./gc.ts')));
program
  .command('store')
  .description('copy a store into a folder or into S3: store copy FROM TO')
  .command('copy <from> <to>')
  .description('copy a store, verified, between folders and addresses such as s3://BUCKET/PREFIX')
  .action(
    lazy(async () => {
      const { copy } = await import('./store.ts');
      return { run: copy };
    }),
  );
program
  .command('chaos <file>')
  .description('run an experiment undisturbed, then with faults, each in a home of its own, and compare the results')
  .addOption(setOption())
  .option('--cells <count>', 'number of faults', integerOption(1), 5)
  .option('--seed <seed>', 'seed of parts, signals and moments (default: another each time)', integerOption(0))
  .option('--pool <name=groups>', 'device groups of a pool, as for `up` (repeatable)', collect)
  .action(lazy(() => import('./chaos.ts')));
program
  .command('schema')
  .description('print the JSON Schema of experiment files, for editors')
  .action(lazy(() => import('./schema.ts')));

program
  .command('completion')
  .description('print the script with which your shell completes verbs, options, experiments and steps')
  .addArgument(new Argument('<shell>').choices(['bash', 'zsh', 'fish']))
  .action(lazy(() => import('./completion.ts')));
program
  .command('complete', { hidden: true })
  .argument('[words...]')
  .action(async (words: string[]) => (await import('./complete.ts')).run(program, words));

// Only the owner may read a home: it holds user data, tokens and databases. An export follows the owner's umask.
program.hook('preAction', (_, command) => {
  if (!['export', 'init', 'report', 'sql', 'track'].includes(command.name())) process.umask(0o077);
});

process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code !== 'EPIPE') throw error;
  process.exit(); // the reader closed the pipe
});
try {
  await program.parseAsync();
} catch (error) {
  if (error instanceof CommanderError) process.exitCode = error.exitCode === 0 ? 0 : USAGE; // commander has printed it
  else process.exitCode = (await import('./terminal/failure.ts')).reportError(error);
}
