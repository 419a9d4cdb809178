"""What is known of other people's functions: which block, which are coroutines, which work on asyncio only.

Tables for `source_lint`, by dotted path; ``queue.Queue().get`` is a method of what ``queue.Queue()`` made.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

_THREAD = "write 'await anyio.to_thread.run_sync(...)', with the function and its arguments"
_HTTP = "use 'httpx.AsyncClient', or write 'await anyio.to_thread.run_sync(...)'"
_PROCESS = "write 'await anyio.run_process(...)'"
_CONNECT = "write 'await anyio.connect_tcp(...)'"
_VERBS = ("get", "post", "put", "patch", "delete", "head", "options", "request")


def _each(makers: Iterable[str], methods: Iterable[str], mend: str) -> dict[str, str]:
    return {f"{maker}.{method}": mend for maker in makers for method in methods}


def _made_by(module: str, names: Iterable[str]) -> list[str]:
    return [f"{module}.{name}()" for name in names]


BLOCKING: Mapping[str, str] = {
    "time.sleep": "write 'await anyio.sleep(...)'",
    "builtins.input": "write 'await anyio.to_thread.run_sync(input)'",
    "os.system": _PROCESS,
    "os.wait": _THREAD,
    "os.waitpid": _THREAD,
    **_each(
        ["subprocess"],
        ["run", "call", "check_call", "check_output", "getoutput", "getstatusoutput"],
        _PROCESS,
    ),
    **_each(["subprocess.Popen()"], ["wait", "communicate"], "use 'anyio.open_process(...)'"),
    **_each(["requests", "requests.Session()", "requests.session()"], _VERBS, _HTTP),
    **_each(["httpx", "httpx.Client()"], [*_VERBS, "stream"], _HTTP),
    **_each(["httpx.Client()"], ["send"], _HTTP),
    **_each(["urllib.request"], ["urlopen", "urlretrieve"], _HTTP),
    **_each(["urllib3", "urllib3.PoolManager()"], ["request"], _HTTP),
    **_each(
        ["http.client.HTTPConnection()", "http.client.HTTPSConnection()"], ["request", "getresponse"], _HTTP
    ),
    "socket.create_connection": _CONNECT,
    **_each(["socket"], ["getaddrinfo", "gethostbyname", "gethostbyname_ex", "gethostbyaddr"], _THREAD),
    **_each(
        ["socket.socket()", "socket.create_connection()"],
        ["connect", "accept", "recv", "recv_into", "recvfrom", "sendall"],
        _CONNECT,
    ),
    "smtplib.SMTP": _THREAD,
    "smtplib.SMTP_SSL": _THREAD,
    "ftplib.FTP": _THREAD,
    "sqlite3.connect": "use a sqlite_sink, or keep the database in a thread: anyio.to_thread.run_sync(...)",
    **_each(
        ["sqlite3.connect()", "sqlite3.connect().cursor()"],
        ["execute", "executemany", "executescript", "commit"],
        "keep the database in a thread: 'await anyio.to_thread.run_sync(...)'",
    ),
    "psycopg.connect": "use 'psycopg.AsyncConnection', or 'await anyio.to_thread.run_sync(...)'",
    "psycopg.Connection.connect": "use 'psycopg.AsyncConnection', or 'await anyio.to_thread.run_sync(...)'",
    "psycopg2.connect": _THREAD,
    "pymysql.connect": _THREAD,
    "MySQLdb.connect": _THREAD,
    **_each(
        _made_by("queue", ["Queue", "LifoQueue", "PriorityQueue", "SimpleQueue"]),
        ["get"],
        "use 'anyio.create_memory_object_stream', or 'await anyio.to_thread.run_sync(...)'",
    ),
    **_each(_made_by("queue", ["Queue", "LifoQueue", "PriorityQueue"]), ["join"], _THREAD),
    **_each(_made_by("multiprocessing", ["Queue", "SimpleQueue", "JoinableQueue"]), ["get"], _THREAD),
    **_each(_made_by("threading", ["Event"]), ["wait"], "use 'anyio.Event'"),
    **_each(_made_by("threading", ["Condition"]), ["wait", "wait_for"], "use 'anyio.Condition'"),
    **_each(_made_by("threading", ["Barrier"]), ["wait"], _THREAD),
    **_each(_made_by("threading", ["Lock", "RLock"]), ["acquire"], "use 'anyio.Lock'"),
    **_each(_made_by("threading", ["Semaphore", "BoundedSemaphore"]), ["acquire"], "use 'anyio.Semaphore'"),
    **_each(["threading.Thread()", "multiprocessing.Process()"], ["join"], _THREAD),
}
"""What holds the event loop, with its mend."""

COROUTINES: frozenset[str] = frozenset(
    {
        *_each(
            ["anyio", "asyncio", "trio"],
            ["sleep", "sleep_until", "sleep_forever", "open_file", "run_process"],
            "",
        ),
        *_each(["anyio", "trio", "anyio.lowlevel", "trio.lowlevel"], ["checkpoint"], ""),
        *_each(
            ["anyio"], ["connect_tcp", "connect_unix", "getaddrinfo", "open_process", "aclose_forcefully"], ""
        ),
        *_each(
            ["anyio.to_thread", "anyio.to_process", "anyio.to_interpreter", "trio.to_thread"],
            ["run_sync"],
            "",
        ),
        *_each(["asyncio"], ["wait", "wait_for", "to_thread", "open_connection", "start_server"], ""),
        *_each(["asyncio"], ["create_subprocess_exec", "create_subprocess_shell"], ""),
        *_each(["anyio.Event()", "trio.Event()", "asyncio.Event()"], ["wait"], ""),
        *_each(["asyncio.Queue()"], ["get", "put", "join"], ""),
        *_each(["anyio.Lock()", "anyio.Semaphore()", "asyncio.Lock()"], ["acquire"], ""),
    }
)
"""Functions that do nothing unless they are awaited."""

_LOOPS = ("asyncio.get_event_loop()", "asyncio.get_running_loop()", "asyncio.new_event_loop()")

DETACHING: frozenset[str] = frozenset(
    {"asyncio.create_task", "asyncio.ensure_future", *_each(_LOOPS, ["create_task"], "")}
)
"""What starts a task that nobody waits for."""

ASYNCIO_ONLY: Mapping[str, str] = {
    "asyncio.sleep": "write 'anyio.sleep(...)'",
    **dict.fromkeys(
        ["asyncio.Queue", "asyncio.LifoQueue", "asyncio.PriorityQueue"],
        "use 'anyio.create_memory_object_stream'",
    ),
    **{f"asyncio.{name}": f"use 'anyio.{name}'" for name in ("Event", "Lock", "Condition", "Semaphore")},
    **dict.fromkeys(
        ["asyncio.gather", "asyncio.wait", "asyncio.TaskGroup", "asyncio.as_completed"],
        "use 'anyio.create_task_group()'",
    ),
    **dict.fromkeys(["asyncio.wait_for", "asyncio.timeout"], "use 'anyio.fail_after(...)'"),
    "asyncio.shield": "use 'anyio.CancelScope(shield=True)'",
    **dict.fromkeys(
        ["asyncio.to_thread", *_each(_LOOPS, ["run_in_executor"], "")],
        "write 'await anyio.to_thread.run_sync(...)'",
    ),
    "asyncio.open_connection": _CONNECT,
    "asyncio.start_server": "use 'anyio.create_tcp_listener(...)'",
    **dict.fromkeys(
        ["asyncio.create_subprocess_exec", "asyncio.create_subprocess_shell"],
        "use 'anyio.open_process(...)'",
    ),
}
"""What fails on trio, with what works on both."""

CANCELLATIONS: frozenset[str] = frozenset(
    {
        "builtins.BaseException",
        "asyncio.CancelledError",
        "asyncio.exceptions.CancelledError",
        "trio.Cancelled",
        "anyio.get_cancelled_exc_class()",
    }
)
"""Classes that catch cancellation."""

__all__ = ["ASYNCIO_ONLY", "BLOCKING", "CANCELLATIONS", "COROUTINES", "DETACHING"]
