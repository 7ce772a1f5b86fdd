"""Validates the objects of a file against the OpenAPI schemas of Kubernetes versions, and prints what is wrong."""
import sys

import kubernetes_validate
import yaml

CUSTOM = ("ServiceMonitor", "PrometheusRule")  # Kubernetes itself has no schema for them

path, *versions = sys.argv[1:]
with open(path, encoding="utf-8") as file:
    objects = [each for each in yaml.safe_load_all(file) if each and each["kind"] not in CUSTOM]
for version in versions:
    for each in objects:
        try:
            kubernetes_validate.validate(each, version, strict=True)
        except kubernetes_validate.ValidationError as error:
            print(f"{version} {each['kind']}: {error.message}")
print(f"{len(objects)} objects")
