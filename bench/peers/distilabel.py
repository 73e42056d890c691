"""`python distilabel.py URL RECORDS`: two steps, each a question to a model for every record. Prints the seconds as JSON."""

import json
import sys
import time

sys.path.pop(0)  # this folder, where `distilabel` is this file

from distilabel.llms import OpenAILLM  # noqa: E402
from distilabel.pipeline import Pipeline  # noqa: E402
from distilabel.steps import LoadDataFromDicts  # noqa: E402
from distilabel.steps.tasks import TextGeneration  # noqa: E402

BATCH = 320  # requests in flight: a batch is asked at once, and waited for

if __name__ == "__main__":
    url, records = sys.argv[1], int(sys.argv[2])
    began = time.monotonic()
    with Pipeline("two-steps") as pipeline:
        load = LoadDataFromDicts(data=[{"instruction": f"say {n}"} for n in range(records)], batch_size=BATCH)

        def ask(name: str, **mappings):
            llm = OpenAILLM(model="mock", base_url=f"{url}/v1", api_key="key")
            return TextGeneration(name=name, llm=llm, input_batch_size=BATCH, add_raw_input=False, add_raw_output=False, **mappings)

        first = ask("first", output_mappings={"generation": "said"})
        load >> first >> ask("second", input_mappings={"instruction": "said"})
    data = pipeline.run(use_cache=False)["default"]["train"]
    assert len(data) == records, f"{len(data)} records"
    print(json.dumps({"seconds": time.monotonic() - began}))
