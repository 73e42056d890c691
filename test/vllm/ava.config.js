/** vLLM itself, which `npm run test:vllm` installs first. One test at a time: a server fills a small machine. */
export default {
  files: ['test/vllm/*.test.ts'],
  extensions: ['ts'],
  require: ['./test/support/temporary.ts'],
  workerThreads: false,
  concurrency: 1,
  serial: true,
  timeout: '45m',
};
