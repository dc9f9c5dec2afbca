"""`make audit`: asks for known vulnerabilities of every locked version, the test tools' too.

pip-audit lives in a virtual environment of its own, so that its dependencies are nobody else's. Exit codes: 1 when a
vulnerability is known, 0 otherwise. Where no advisory source answers, the last line says NOT AUDITED and why: a
machine without a network must be able to run everything, and nobody may take that silence for a clean bill.
"""

import json
import subprocess
import sys
import venv
from pathlib import Path

HOME = Path(".venv-audit")
LOCK = "requirements-test.txt"
TIMEOUT_S = 300


def main() -> int:
    try:
        report = audit()
    except NotAudited as reason:
        print(f"NOT AUDITED: {reason}")
        return 0
    unknown = [row for row in report["dependencies"] if "skip_reason" in row]
    known = [(row, flaw) for row in report["dependencies"] for flaw in row.get("vulns", ())]
    for row, flaw in known:
        fixed = ", ".join(flaw["fix_versions"]) or "no version yet"
        print(f"{row['name']} {row['version']}: {flaw['id']}, fixed in {fixed}")
    for row in unknown[:3]:
        print(f"NOT AUDITED: {row['name']}: {row['skip_reason']}")
    audited = f"{len(report['dependencies']) - len(unknown)} packages audited, {len(known)} known vulnerabilities"
    # The last line is the one that is read: it says so where something was not audited.
    print(f"NOT AUDITED: {len(unknown)} packages; {audited}" if unknown else audited)
    return 1 if known else 0


class NotAudited(Exception):
    """No answer, therefore no judgement; the message is the reason."""


def audit() -> dict:
    """pip-audit's report. Raises NotAudited when pip-audit cannot be installed or gets no answer."""
    program = HOME / "bin" / "pip-audit"
    if not program.exists():
        venv.create(HOME, with_pip=True)
        run([str(HOME / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check", "pip-audit"])
    options = ["--progress-spinner", "off", "--format", "json", "--disable-pip", "--require-hashes"]
    answer = run([str(program), *options, "--requirement", LOCK], accept=(0, 1))
    try:
        return json.loads(answer.stdout)
    except ValueError:  # an error of pip-audit's own has the same exit code as a vulnerability, but no report
        raise NotAudited(last_line(answer.stderr)) from None


def run(command: list[str], accept: tuple[int, ...] = (0,)) -> subprocess.CompletedProcess[str]:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    except subprocess.TimeoutExpired:
        raise NotAudited(f"no answer within {TIMEOUT_S} s") from None
    if done.returncode not in accept:
        raise NotAudited(last_line(done.stderr))
    return done


def last_line(text: str) -> str:
    return (text.strip().splitlines() or ["no reason was given"])[-1]


if __name__ == "__main__":
    sys.exit(main())
