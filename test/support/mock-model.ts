/** A model server that answers at once: as fast as Node serves HTTP. `node mock-model.ts` prints its address. */
import { createServer } from 'node:http';

let served = 0;
const server = createServer((request, response) => {
  request
    .on('data', () => {})
    .on('end', () => {
      if (request.url !== '/count') served++;
      const reply = {
        id: '1',
        object: 'chat.completion',
        model: 'mock',
        choices: [{ index: 0, message: { role: 'assistant', content: 'one' }, finish_reason: 'stop' }],
        usage: { prompt_tokens: 3, completion_tokens: 1, total_tokens: 4 },
      };
      const models = { object: 'list', data: [{ id: 'mock', max_model_len: 256 }] };
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify(request.url === '/count' ? { served } : request.url === '/v1/models' ? models : reply));
    });
});
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => process.stdout.write(`http://127.0.0.1:${(server.address() as { port: number }).port}\n`));
