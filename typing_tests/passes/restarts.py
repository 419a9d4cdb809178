"""When components are restarted: words and policies, in classes, functions, systems and calls."""

from headrace import Backoff, HarnessComponent, In, RestartPolicy, System, component


class Parse(HarnessComponent):
    in_: In[str]
    restart = RestartPolicy(max_restarts=3, within=10, backoff=Backoff(0.2, 5, jitter=0))
    accumulates = True


class Store(HarnessComponent):
    in_: In[str]
    restart = "always"


@component(restart="failure", on_error="crash")
def double(number: int) -> int:
    return number * 2


system = System("s", restart="failure", strategy="rest_for_one")
system.add("parse", Parse, restart="never", attempts=5, on_error="drop")
system.add("double", double, restart=RestartPolicy("always"))
