"""`python dbos.py URL RECORDS`: two steps, each a question to a model for every record. Prints the seconds as JSON."""

import asyncio
import json
import os
import sys
import tempfile
import time

sys.path.pop(0)  # this folder, where `dbos` is this file

import httpx  # noqa: E402
from dbos import DBOS  # noqa: E402

AT_ONCE = 320  # records under way, as many as the others have requests in flight

url, records = sys.argv[1], int(sys.argv[2])
database = os.path.join(tempfile.mkdtemp(), "dbos.sqlite")
DBOS(config={"name": "bench", "system_database_url": f"sqlite:///{database}", "run_admin_server": False, "log_level": "ERROR"})
client = httpx.AsyncClient(limits=httpx.Limits(max_connections=AT_ONCE), timeout=None)


@DBOS.step()
async def ask(text: str) -> str:
    body = {"model": "mock", "messages": [{"role": "user", "content": text}], "max_tokens": 8}
    reply = await client.post(f"{url}/v1/chat/completions", json=body, headers={"Authorization": "Bearer key"})
    return reply.raise_for_status().json()["choices"][0]["message"]["content"]


@DBOS.workflow()
async def job(n: int) -> str:
    return await ask(await ask(f"say {n}"))


async def main() -> float:
    began = time.monotonic()
    room = asyncio.Semaphore(AT_ONCE)

    async def one(n: int) -> str:
        async with room:
            return await (await DBOS.start_workflow_async(job, n)).get_result()

    answers = await asyncio.gather(*map(one, range(records)))
    assert len(answers) == records, f"{len(answers)} records"
    return time.monotonic() - began


DBOS.launch()
print(json.dumps({"seconds": asyncio.run(main())}), flush=True)
os._exit(0)
