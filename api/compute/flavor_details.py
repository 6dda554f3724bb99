"""Extra specs of flavors, and who may use private ones (Compute API reference, "Flavors extra-specs" and "access")."""

from typing import Annotated, Any

from fastapi import APIRouter, Request, Response
from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from api.auth import AdminDep, ReaderDep
from api.compute.common import empty
from api.compute.microversion import Version
from api.compute.wire import MetadataKey, Text, Wire, body, json_body
from api.deps import ServicesDep
from infra.db import flavors
from infra.domain.errors import BadRequest, NotFound
from infra.domain.extra_specs import PCI_ALIAS, pci_counts

router = APIRouter()
_CHECKED = 86


def _as_text(value: Any) -> Any:
    return str(value) if isinstance(value, int | float) and not isinstance(value, bool) else value


SpecValue = Annotated[Text, BeforeValidator(_as_text)]
ProjectId = Annotated[str, Field(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9\-]+\z")]


class ExtraSpecsRequest(Wire):
    extra_specs: dict[MetadataKey, SpecValue]


class Access(Wire):
    tenant: ProjectId


class AccessAction(Wire):
    add: Annotated[Access | None, Field(alias="addTenantAccess")] = None
    remove: Annotated[Access | None, Field(alias="removeTenantAccess")] = None


@router.get("/flavors/{flavor_id}/os-extra_specs")
async def extra_specs(flavor_id: str, context: ReaderDep, found: ServicesDep) -> dict[str, Any]:
    flavor = await found.db.read(
        flavors.get, flavor_id, project_id=context.identity.project_id, any_project=context.is_admin
    )
    return {"extra_specs": flavor.extra_specs}


@router.post("/flavors/{flavor_id}/os-extra_specs")
async def set_extra_specs(
    flavor_id: str,
    context: AdminDep,
    wanted: Annotated[ExtraSpecsRequest, body(ExtraSpecsRequest)],
    found: ServicesDep,
    version: Version,
) -> dict[str, Any]:
    _check(wanted.extra_specs, version)
    await found.db.write(flavors.set_extra_specs, flavor_id, wanted.extra_specs)
    return {"extra_specs": wanted.extra_specs}


@router.get("/flavors/{flavor_id}/os-extra_specs/{key}")
async def extra_spec(flavor_id: str, key: str, context: ReaderDep, found: ServicesDep) -> dict[str, str]:
    specs = (await extra_specs(flavor_id, context, found))["extra_specs"]
    if key not in specs:
        raise NotFound(f"Flavor {flavor_id} has no extra specs with key {key}.")
    return {key: specs[key]}


@router.put("/flavors/{flavor_id}/os-extra_specs/{key}")
async def set_extra_spec(
    flavor_id: str, key: str, request: Request, context: AdminDep, found: ServicesDep, version: Version
) -> dict[str, str]:
    try:
        wanted = _ONE_SPEC.validate_python(await json_body(request))
    except ValidationError:
        raise BadRequest("The body must be one extra spec: a key and a value of text.") from None
    if list(wanted) != [key]:
        raise BadRequest("The body must hold the key of the address, and no other.")
    _check(wanted, version)
    await found.db.write(flavors.set_extra_specs, flavor_id, wanted)
    return wanted


def _check(specs: dict[str, str], version: int) -> None:
    """The form only, as in Nova: whether an alias is defined is seen when a server is to boot."""
    if version >= _CHECKED and PCI_ALIAS in specs:
        pci_counts(specs[PCI_ALIAS])


_ONE_SPEC = TypeAdapter(dict[MetadataKey, SpecValue])


@router.delete("/flavors/{flavor_id}/os-extra_specs/{key}")
async def delete_extra_spec(flavor_id: str, key: str, context: AdminDep, found: ServicesDep) -> Response:
    await found.db.write(flavors.delete_extra_spec, flavor_id, key)
    return empty(200)


@router.get("/flavors/{flavor_id}/os-flavor-access")
async def access(flavor_id: str, context: AdminDep, found: ServicesDep) -> dict[str, Any]:
    return _access(flavor_id, await found.db.read(flavors.access, flavor_id))


@router.post("/flavors/{flavor_id}/action")
async def change_access(
    flavor_id: str, context: AdminDep, wanted: Annotated[AccessAction, body(AccessAction)], found: ServicesDep
) -> dict[str, Any]:
    if (wanted.add is None) == (wanted.remove is None):
        raise BadRequest("The body must hold addTenantAccess or removeTenantAccess.")
    if wanted.add is not None:
        await found.db.write(flavors.add_access, flavor_id, wanted.add.tenant)
    elif wanted.remove is not None:
        await found.db.write(flavors.remove_access, flavor_id, wanted.remove.tenant)
    return _access(flavor_id, await found.db.read(flavors.access, flavor_id))


def _access(flavor_id: str, projects: list[str]) -> dict[str, Any]:
    return {"flavor_access": [{"flavor_id": flavor_id, "tenant_id": project} for project in projects]}
