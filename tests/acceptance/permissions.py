"""Accounts, users, roles and services beside a running server, and boto3 clients of all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import boto3

from hsmkms.testing.server import DevServer
from tests.acceptance.clients import CONFIG
from tests.acceptance.deployments import run_command

REGION: Final = "us-east-1"


def document(*statements: Mapping[str, Any]) -> str:
    """A policy of statements."""
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


def allow(*actions: str, **more: Any) -> dict[str, Any]:
    """A statement."""
    return {"Effect": "Allow", "Action": list(actions), "Resource": "*", **more}


@dataclass(frozen=True)
class Credentials:
    """What signs."""

    access_key_id: str
    secret_access_key: str
    session_token: str | None = None


@dataclass
class People:
    """Who calls a server, by name."""

    server: DevServer
    credentials: dict[str, Credentials] = field(default_factory=dict)
    arns: dict[str, str] = field(default_factory=dict)

    def command(self, *arguments: str, stdin: str = "") -> dict[str, Any]:
        """An operator's command beside the running server."""
        config = self.server.data / "hsmkms.toml"
        outcome = run_command(*arguments, "--config", config, "--json", stdin=stdin)
        assert outcome.code == 0, outcome.said
        return outcome.members

    def add_user(self, account: str, name: str, *statements: Mapping[str, Any]) -> str:
        """A user with an access key and these statements; the ARN."""
        arn = self.arns[name] = str(self.command("user", "create", name, "--account", account)["arn"])
        if statements:
            self.command("policy", "put-inline", arn, "own", "-", stdin=document(*statements))
        self._add_access_key(name, "--user", arn)
        return arn

    def add_role(self, account: str, name: str, trusted: str, *statements: Mapping[str, Any]) -> str:
        """A role with these statements that somebody may assume; the ARN."""
        trust = document({"Effect": "Allow", "Principal": {"AWS": trusted}, "Action": "sts:AssumeRole"})
        created = self.command(
            "role", "create", name, "--account", account, "--trust-policy", "-", stdin=trust
        )
        arn = self.arns[name] = str(created["arn"])
        self.command("policy", "put-inline", arn, "own", "-", stdin=document(*statements))
        return arn

    def add_service(self, name: str) -> None:
        """A service with an access key."""
        self.command("service", "add", name)
        self._add_access_key(name, "--service", name)

    def assume(self, role: str, by: str, **more: Any) -> None:
        """Let somebody assume a role, whose name is the session's from then on."""
        sts = self.client(by, "sts")
        given = sts.assume_role(RoleArn=self.arns[role], RoleSessionName="run", **more)["Credentials"]
        self.credentials[role] = Credentials(
            given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"]
        )

    def client(self, name: str, service: str = "kms") -> Any:
        """A boto3 client that neither retries nor validates."""
        signs = self.credentials[name]
        return boto3.client(
            service,
            endpoint_url=self.server.endpoint,
            region_name=REGION,
            aws_access_key_id=signs.access_key_id,
            aws_secret_access_key=signs.secret_access_key,
            aws_session_token=signs.session_token,
            config=CONFIG,
        )

    def _add_access_key(self, name: str, *whose: str) -> None:
        made = self.command("access-key", "create", *whose)
        self.credentials[name] = Credentials(made["access_key_id"], made["secret_access_key"])
