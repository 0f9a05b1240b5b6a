"""``hsmkms policy simulate`` and ``hsmkms policy lint``: what would be decided and why; what is wrong."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Final

import typer

from hsmkms.cli.explaining import decision_lines, decision_members
from hsmkms.cli.failures import reported_failures
from hsmkms.cli.options import AsJson, ConfigFile, InRegion, migrated_settings, one_region
from hsmkms.cli.output import ExitCode, console, fail, print_json, printable
from hsmkms.cli.simulation import TAKES_CONTEXT, Decision, Question, Simulation
from hsmkms.cli.texts import pair, read_policy
from hsmkms.config import Settings
from hsmkms.errors import MalformedPolicyDocumentError
from hsmkms.model.actions import Action
from hsmkms.model.names import ALIAS_PREFIX, Region
from hsmkms.policy.document import PolicyKind
from hsmkms.policy.findings import Finding, Severity
from hsmkms.policy.linting import lint as find_faults
from hsmkms.policy.parsing import parse_policy
from hsmkms.wiring.assembly import open_directory, open_key_stores
from hsmkms.wiring.clock import SystemClock

_KINDS: Final = {
    "key": PolicyKind.KEY,
    "identity": PolicyKind.IDENTITY,
    "session": PolicyKind.SESSION,
    "trust": PolicyKind.TRUST,
}
_ABOUT_NO_KEY: Final = (
    *(Action.CREATE_KEY, Action.LIST_KEYS, Action.GENERATE_RANDOM, Action.LIST_RETIRABLE_GRANTS),
)
_ALIAS_ACTIONS: Final = (Action.CREATE_ALIAS, Action.UPDATE_ALIAS, Action.DELETE_ALIAS)


def _action(text: str) -> Action:
    by_name = {one.lower(): one for one in Action}
    found = by_name.get(text.lower()) or by_name.get(f"kms:{text.lower()}")
    if found is None:
        close = get_close_matches(text.lower(), by_name, n=1)
        advice = f"; do you mean {by_name[close[0]]}?" if close else ""
        raise typer.BadParameter(f"there is no action {text!r}{advice}")
    return found


def _kind(text: str) -> PolicyKind:
    if text not in _KINDS:
        raise typer.BadParameter(f"--kind is one of {', '.join(_KINDS)}")
    return _KINDS[text]


Pairs = list[str] | None


def simulate(
    config: ConfigFile,
    principal: Annotated[
        str, typer.Option(help="ARN of a root, user, role or session; or a service's name.", metavar="ARN")
    ],
    action: Annotated[str, typer.Option(help="For example kms:Decrypt.", metavar="ACTION")],
    key: Annotated[
        str | None, typer.Option(help="Key id, key ARN, alias name or alias ARN.", metavar="KEY")
    ] = None,
    region: InRegion = None,
    alias: Annotated[
        str | None, typer.Option(help="For actions on aliases: which one.", metavar="alias/NAME")
    ] = None,
    via: Annotated[
        str | None, typer.Option(help="The service that calls for the principal.", metavar="SERVICE")
    ] = None,
    context: Annotated[
        Pairs,
        typer.Option(
            help="A condition key, such as aws:SourceIp; given twice, it has two values.", metavar="KEY=VALUE"
        ),
    ] = None,
    encryption_context: Annotated[
        Pairs, typer.Option(help="A pair of the encryption context.", metavar="KEY=VALUE")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say whether a call would be allowed, and which statement or grant decides; needs no token.

    Ends with 0 when it would, with 6 when not. What conditions ask of the caller and the key is taken from
    the stores; what they ask of the request comes from --context. TLS is taken for granted.
    """
    asked = _action(action)
    question = Question(
        principal=principal,
        action=asked,
        key_ref=key,
        alias_name=alias,
        via=via,
        encryption_context=_encryption_context(asked, encryption_context),
        more=_several(context),
    )
    _require_alias(question)
    _require_key(question)
    with reported_failures():
        settings = migrated_settings(config)
        simulation = _simulation(settings, one_region(settings, region))
        call, decisions = simulation.decisions(question)
    allowed = all(one.verdict.allowed for one in decisions)
    caller = call.caller.principal
    if as_json:
        members = [decision_members(one, asked) for one in decisions]
        print_json({"allowed": allowed, "principal": caller.arn, "action": asked, "decisions": members})
    else:
        _print_decisions(caller.arn, asked, decisions)
    if not allowed:
        raise typer.Exit(ExitCode.REFUSED)


def lint(
    file: Annotated[
        Path, typer.Argument(help="The policy's JSON; - or nothing for standard input.", metavar="FILE")
    ] = Path("-"),
    kind: Annotated[str, typer.Option(help="key, identity, session or trust.", metavar="KIND")] = "key",
    as_json: AsJson = False,
) -> None:
    """Say what is wrong with a policy that nobody may have noticed; ends with 1 when there is anything."""
    policy_kind = _kind(kind)
    text = read_policy(file)
    try:
        findings = find_faults(parse_policy(text, policy_kind))
    except MalformedPolicyDocumentError as error:
        findings = [Finding(None, error.place, Severity.ERROR, "malformed", str(error))]
    if as_json:
        print_json({"findings": [_members(one) for one in findings]})
    for one in () if as_json else findings:
        text = f"{one.severity.value}: {one.place}: {one.message} [{one.rule}]"
        console.print(printable(text), markup=False)
    if findings:
        raise typer.Exit(ExitCode.FAILED)


def _several(pairs: Pairs) -> Mapping[str, tuple[str, ...]]:
    values: dict[str, list[str]] = defaultdict(list)
    for name, value in map(pair, pairs or ()):
        values[name.lower()].append(value)
    return {name: tuple(those) for name, those in values.items()}


def _encryption_context(action: Action, pairs: Pairs) -> Mapping[str, str] | None:
    given = dict(map(pair, pairs or ()))
    if action in TAKES_CONTEXT:
        return given
    if given:
        fail(f"{action} takes no encryption context", ExitCode.USAGE)
    return None


def _require_alias(question: Question) -> None:
    is_about_alias = question.action in _ALIAS_ACTIONS
    if is_about_alias and question.alias_name is None:
        fail(f"{question.action} is about an alias: name it with --alias", ExitCode.USAGE)
    if question.alias_name is not None and not (
        is_about_alias and question.alias_name.startswith(ALIAS_PREFIX)
    ):
        fail("--alias alias/NAME is for actions on aliases", ExitCode.USAGE)


def _require_key(question: Question) -> None:
    action = question.action
    if action is Action.RETIRE_GRANT:
        fail(f"{action} is decided by the grant: policies can only forbid it", ExitCode.USAGE)
    if action in _ABOUT_NO_KEY and question.key_ref is not None:
        fail(f"{action} is about no key", ExitCode.USAGE)
    needs_none = action in (*_ABOUT_NO_KEY, Action.LIST_ALIASES, Action.DELETE_ALIAS)
    if question.key_ref is None and not needs_none:
        fail(f"{action} is about a key: name it with --key", ExitCode.USAGE)


def _simulation(settings: Settings, region: Region) -> Simulation:
    directory = open_directory(settings).snapshot()
    return Simulation(region, directory, open_key_stores(settings)[region].snapshot(), SystemClock().now())


def _print_decisions(principal_arn: str, action: Action, decisions: Sequence[Decision]) -> None:
    for decision in decisions:
        word = "ALLOWED" if decision.verdict.allowed else "DENIED"
        console.print(printable(f"{word}: {principal_arn} {action} {decision.resource_arn}"), markup=False)
        for line in decision_lines(decision, action):
            console.print(printable(line), markup=False)


def _members(finding: Finding) -> dict[str, object]:
    return {
        "place": finding.place,
        "severity": finding.severity.value,
        "rule": finding.rule,
        "message": finding.message,
    }
