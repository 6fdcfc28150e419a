"""What a MySQL or MariaDB server itself says about the sessions that a test opens."""

import os
from typing import Any
from urllib.parse import unquote, urlsplit

import pymysql

MISSING = "MYSQL_URL names no server: MySQL is not tested (scripts/test starts one)"


class Server:
    """A session of its own on the server, which looks at the others of a database."""

    def __init__(self, database: str) -> None:
        url = urlsplit(os.environ["MYSQL_URL"])
        self.database = database
        self._connection = pymysql.connect(
            host=url.hostname,
            port=url.port or 3306,
            user=unquote(url.username or ""),
            password=unquote(url.password or ""),
            autocommit=True,
        )

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._connection.close()

    def rows(self, query: str, *params: Any) -> list[Any]:
        """Return the rows of the answer."""
        with self._connection.cursor() as cursor:
            cursor.execute(query, params or None)
            return list(cursor.fetchall())

    def ask(self, query: str, *params: Any) -> list[Any]:
        """Return the first column of the answer."""
        return [row[0] for row in self.rows(query, *params)]

    def sessions(self) -> list[int]:
        """Return the ids of the sessions that use the database."""
        return self.ask(
            "SELECT id FROM information_schema.processlist "
            "WHERE db = %s AND id <> connection_id()",
            self.database,
        )

    def states(self) -> list[str]:
        """Return what each session but this one does, "Sleep" for nothing."""
        return self.ask(
            "SELECT command FROM information_schema.processlist "
            "WHERE db = %s AND id <> connection_id()",
            self.database,
        )

    def transactions(self) -> list[Any]:
        """Return the open transactions of the sessions that use the database."""
        return self.rows(
            "SELECT t.* FROM information_schema.innodb_trx t "
            "JOIN information_schema.processlist p ON p.id = t.trx_mysql_thread_id "
            "WHERE p.db = %s AND p.id <> connection_id()",
            self.database,
        )

    def running(self, words: str) -> int:
        """Count the sessions that execute a statement with ``words`` in it."""
        return len(self.running_sessions(words))

    def running_sessions(self, words: str) -> list[int]:
        """Return the ids of those sessions."""
        return self.ask(
            "SELECT id FROM information_schema.processlist WHERE db = %s "
            "AND command = 'Query' AND info LIKE %s AND id <> connection_id()",
            self.database,
            f"%{words}%",
        )

    def kill(self, *sessions: int) -> None:
        """End sessions as a server does that shuts down."""
        for session in sessions:
            self.ask(f"KILL CONNECTION {session:d}")
