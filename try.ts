import { throughput } from './bench/throughput.ts';
const [ms = '250', n = '10000'] = process.argv.slice(2);
console.log(JSON.stringify(await throughput({ records: +n, latencies: [+ms], peers: [] }), null, 1));
process.exit();
