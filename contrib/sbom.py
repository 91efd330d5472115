#!/usr/bin/env python3
"""Writes what the programs are made of, as CycloneDX 1.5 JSON, and checks it.

    contrib/sbom.py [FILE]        default .build/fairlead.cdx.json; ends with `sbom: ok`

Swift packages come from Package.resolved, libraries of the system from dpkg. Two runs on the same
tree and machine write the same bytes: there is no time and no random number in the file.
"""

import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
# What is linked or copied in, and under what terms. Something new has to be added here by hand,
# because somebody has to have read its licence.
PACKAGES = {
    "tomlkit": ("TOMLKit", "MIT"),
    "swift-argument-parser": ("swift-argument-parser", "Apache-2.0"),
    # Of its own code and of the BoringSSL in it; only Crypto is linked. swift-asn1 is fetched for a
    # product that is not used.
    "swift-asn1": ("swift-asn1", "Apache-2.0"),
    "swift-crypto": ("swift-crypto", "Apache-2.0"),
}
# Headers at build time, the shared library at run time.
LIBRARIES = {
    "libc-ares-dev": ("c-ares", "MIT"),
    "libsodium-dev": ("libsodium", "ISC"),
    "zlib1g-dev": ("zlib", "Zlib"),
}


def output(*command):
    return subprocess.run(
        command, cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout.strip()


def swift_packages():
    with open(os.path.join(ROOT, "Package.resolved"), encoding="utf-8") as file:
        pins = json.load(file)["pins"]
    for pin in sorted(pins, key=lambda pin: pin["identity"]):
        if pin["identity"] not in PACKAGES:
            sys.exit(f"sbom: {pin['identity']} is new: add it, with its licence, to {__file__}")
        name, licence = PACKAGES[pin["identity"]]
        version, url = pin["state"]["version"], pin["location"]
        place = url.removeprefix("https://").removesuffix(".git")
        yield component(
            name, version, licence, f"pkg:swift/{place}@{version}",
            [{"type": "vcs", "url": url, "comment": pin["state"]["revision"]}],
        )


def libraries():
    for package, (name, licence) in sorted(LIBRARIES.items()):
        version, arch = output(
            "dpkg-query", "-W", "-f", "${Version} ${Architecture}", package
        ).split()
        purl = f"pkg:deb/debian/{package}@{version}?arch={arch}"
        yield component(name, version, licence, purl, [])


def compiler():
    version = output("swift", "--version").splitlines()[0]
    return component("Swift runtime and standard library", version, "Apache-2.0", None, [])


def component(name, version, licence, purl, references):
    made = {
        "type": "library",
        "bom-ref": purl or name,
        "name": name,
        "version": version,
        "licenses": [{"license": {"id": licence}}],
    }
    if purl:
        made["purl"] = purl
    if references:
        made["externalReferences"] = references
    return made


def document():
    components = [*swift_packages(), *libraries(), compiler()]
    version = output("git", "describe", "--always", "--dirty")
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "component": {
                "type": "application", "bom-ref": "fairlead", "name": "fairlead",
                "version": version,
            }
        },
        "components": components,
        "dependencies": [
            {"ref": "fairlead", "dependsOn": [part["bom-ref"] for part in components]},
            *({"ref": part["bom-ref"]} for part in components),
        ],
    }


def faults(bom):
    """What a reader of CycloneDX 1.5 would miss."""
    if bom.get("bomFormat") != "CycloneDX" or bom.get("specVersion") != "1.5":
        yield "not CycloneDX 1.5"
    if not bom["metadata"]["component"]["version"]:
        yield "no version of ours"
    references = [part["bom-ref"] for part in bom["components"]]
    if len(set(references)) != len(references):
        yield "a bom-ref comes twice"
    for part in bom["components"]:
        for field in ("type", "name", "version", "licenses"):
            if not part.get(field):
                yield f"{part.get('name')}: no {field}"
    for name, _ in [*PACKAGES.values(), *LIBRARIES.values()]:
        if name not in [part["name"] for part in bom["components"]]:
            yield f"{name} is missing"


def main():
    path = sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, ".build/fairlead.cdx.json")
    os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document(), file, indent=2)
        file.write("\n")
    with open(path, encoding="utf-8") as file:
        found = list(faults(json.load(file)))
    for fault in found:
        print(f"sbom: {fault}")
    if found:
        sys.exit(1)
    print(f"{path}\nsbom: ok")


main()
