"""Run as a program: evaluates conditions with cel-expr-python (CEL's C++ runtime), for the differential test.

Its own process, because that package has crashed Python before. Reads JSON lines {"when": ..., "facts": ...} and
answers each at once: true, false, "error", or "refused: ..." where it does not compile.
"""

import json
import sys
from typing import Any

from cel_expr_python import cel


def main() -> None:
    names = ("params", "user", "agent", "history", "task", "action")
    env = cel.NewEnv(variables={name: cel.Type.Map(cel.Type.STRING, cel.Type.DYN) for name in names})
    for line in sys.stdin:
        asked = json.loads(line)
        sys.stdout.write(json.dumps(_answer(env, asked["when"], asked["facts"])) + "\n")
        sys.stdout.flush()


def _answer(env: Any, when: str, facts: dict[str, Any]) -> bool | str:
    try:
        expression = env.compile(when)
    except Exception as error:
        return f"refused: {error}"
    value = expression.eval(data=facts)
    if value.type() == cel.Type.BOOL:
        return bool(value.plain_value())
    return "error" if value.type() == cel.Type.ERROR else f"refused: gives {value.type().name()}"


if __name__ == "__main__":
    main()
