"""Judges answers of virsh --output json by their schemas, with a validator that is not ours.

Each line of the input is [SCHEMA FILE, ANSWER]; what is wrong is printed, then the last line.
"""
import json
import sys

import jsonschema

for line in sys.stdin:
    path, answer = json.loads(line)
    with open(path, encoding="utf-8") as file:
        schema = json.load(file)
    validator = jsonschema.Draft202012Validator
    validator.check_schema(schema)
    for fault in validator(schema).iter_errors(json.loads(answer)):
        print(f"{path}: {fault.json_path}: {fault.message}")
print("done")
