/** Several hosts on real services: Slurm, Temporal on PostgreSQL, S3. One test at a time: they fill a small machine. */
export default {
  files: ['test/hosts/*.test.ts'],
  extensions: ['ts'],
  require: ['./test/support/temporary.ts'],
  workerThreads: false,
  concurrency: 1,
  serial: true,
  timeout: '45m',
};
