"""The gateway: everything a process owns, built in one place."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from app.crash import arm
from app.egress import EgressPolicy
from app.embedded import socket_url
from app.fal.client import FalClient
from app.fal.signature import Verifier
from app.fal.web import WayOut, authorities_in
from app.media.parts import PartFolder
from app.registry.catalog import Catalog
from app.services.accounts import Accounts
from app.services.administration import Administration
from app.services.adoption import Adoption
from app.services.audit import Audit
from app.services.backup import Backups
from app.services.delivery_log import DeliveryLog
from app.services.endpoints import Endpoints
from app.services.epoch import EpochService
from app.services.fal_door import FalDoor
from app.services.fal_uploads import FalUploads
from app.services.fal_webhooks import FalWebhooks
from app.services.feed import Feed
from app.services.jobs import Jobs
from app.services.ledger import Ledger
from app.services.limits import Limits
from app.services.listing import Listing
from app.services.operations import Operations
from app.services.prices import read_prices
from app.services.requests import RequestRules, Requests
from app.services.silence import Silence
from app.services.store_disk import StoreDisk
from app.services.tokens import Tokens
from app.services.uploads import Uploads
from app.services.usage import Usage
from app.services.watch import Watch
from app.services.zones import Zones
from app.settings import Settings, SettingsError, required_url
from app.starting import require_store
from app.store.accounts import AccountStore
from app.store.admission import AdmissionStore
from app.store.alarms import AlarmStore
from app.store.audit import AuditStore
from app.store.backup import BackupStore
from app.store.buying import BuyingStore
from app.store.connection import Client, connect, disconnect
from app.store.deliveries import DeliveryStore
from app.store.delivery_log import DeliveryLogStore
from app.store.dispatch import DispatchStore
from app.store.endpoints import EndpointStore
from app.store.epoch import EpochStore
from app.store.events import EventStore
from app.store.health import HealthStore
from app.store.jobs import JobStore
from app.store.ledger import LedgerStore
from app.store.limits import Clock, LimitStore
from app.store.line import LineStore
from app.store.secrets import SecretStore
from app.store.setting_names import SettingNames
from app.store.uploads import UploadStore
from app.store.usage import UsageStore
from app.store.witness import Witness
from app.store.zones import ZoneStore
from app.webhooks.sender import Sender

PATIENCE_S = 2.0  # how long a blocking read may wait for news


@dataclass(frozen=True, slots=True)
class Gateway:
    """What a process owns. Doors use the services; workers use the stores, fal and the sender."""

    settings: Settings
    catalog: Catalog
    accounts: Accounts
    administration: Administration
    tokens: Tokens
    limits: Limits
    books: Ledger
    audit: Audit
    usage: Usage
    feed: Feed
    jobs: Jobs
    fal_door: FalDoor
    fal_uploads: FalUploads
    listing: Listing
    uploads: Uploads
    job_store: JobStore
    dispatch: DispatchStore
    buying: BuyingStore
    operations: Operations
    alarms: AlarmStore
    health: HealthStore
    adoption: Adoption
    fal_webhooks: FalWebhooks
    endpoints: Endpoints
    delivery_log: DeliveryLog
    epoch: EpochService
    silence: Silence
    backups: Backups
    secrets: SecretStore
    setting_names: SettingNames
    ledger: LedgerStore
    usage_sums: UsageStore
    deliveries: DeliveryStore
    events: EventStore
    fal: FalClient
    sender: Sender


def load_catalog(settings: Settings) -> Catalog:
    """The registry with the operator's prices; SettingsError when they are wrong."""
    try:
        return Catalog.load(read_prices(settings.prices))
    except ValueError as error:
        raise SettingsError(f"FILMGATE_PRICES: {error}") from None


def egress_policy(settings: Settings) -> EgressPolicy:
    """What webhooks may reach, never ourselves, our store or fal; SettingsError when the list is wrong."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    closed = (
        settings.base_url,
        f"http://{host}:{settings.port}",  # where we listen, also where the public URL is another
        required_url(settings),
        settings.fal_queue_url,
        settings.fal_rest_url,
        settings.fal_api_url,
    )
    try:
        return EgressPolicy.parse(settings.egress_allow, closed=closed, narrow=settings.real_money)
    except ValueError as error:
        raise SettingsError(f"FILMGATE_EGRESS_ALLOW: {error}") from None


def way_to_fal(settings: Settings) -> WayOut:
    """How calls to fal leave; SettingsError when the file of certificates holds none."""
    if settings.ssl_cert_file is not None:
        try:
            authorities_in(settings.ssl_cert_file)
        except OSError:  # ssl.SSLError is one
            raise SettingsError("SSL_CERT_FILE names a file that holds no certificates (PEM).") from None
    proxy = settings.https_proxy.get_secret_value() if settings.https_proxy else None
    return WayOut(proxy, settings.no_proxy, settings.ssl_cert_file)


@dataclass(frozen=True, slots=True)
class _Stores:
    """Every room of the store, on one pair of connections."""

    jobs: JobStore
    accounts: AccountStore
    admission: AdmissionStore
    alarms: AlarmStore
    audit: AuditStore
    backup: BackupStore
    buying: BuyingStore
    deliveries: DeliveryStore
    delivery_log: DeliveryLogStore
    dispatch: DispatchStore
    endpoints: EndpointStore
    epoch: EpochStore
    events: EventStore
    health: HealthStore
    ledger: LedgerStore
    limits: LimitStore
    line: LineStore
    secrets: SecretStore
    setting_names: SettingNames
    uploads: UploadStore
    usage: UsageStore
    zones: ZoneStore


@asynccontextmanager
async def open_gateway(
    settings: Settings,
    *,
    process: str,
    patience: float | None = 0,
    waits_for: Callable[[str], object] | None = None,
    warned: bool = False,
) -> AsyncIterator[Gateway]:
    """Build everything, check the store, and close everything at the end.

    `process` names this process in the store's client list. A store that is not there is waited for as many seconds
    as `patience` says, for ever where it is None; `waits_for` is told meanwhile, else the log. What the store
    cannot promise is logged, unless the process that started this one was `warned`. StoreUnavailable when it does
    not come; SettingsError when the configuration, or the store's durability where real money is spent, is not good
    enough to start.
    """
    url = required_url(settings)
    arm(settings.crash)
    catalog = load_catalog(settings)
    policy = egress_policy(settings)
    redis = connect(url, name=f"filmgate-{process}", replicas=settings.store_replicas)
    patient = connect(url, patience=PATIENCE_S, name=f"filmgate-{process}-patient")
    way = way_to_fal(settings)
    fal = FalClient(
        queue_url=settings.fal_queue_url,
        rest_url=settings.fal_rest_url,
        key=settings.fal_key.get_secret_value() if settings.fal_key else None,
        api_url=settings.fal_api_url,
        admin_key=settings.fal_admin_key.get_secret_value() if settings.fal_admin_key else None,
        media_hosts=settings.fal_media_hosts,
        way=way,
    )
    stores = _stores(settings, redis, patient)
    sender = Sender(policy)
    verifier = Verifier(settings.jwks_url, user_id=settings.fal_webhook_user, way=way)
    try:
        await require_store(settings, redis, patience=patience, waits_for=waits_for, warned=warned)
        yield _gateway(settings, catalog, policy, stores, fal=fal, sender=sender, verifier=verifier)
    finally:
        await stores.events.close()
        await sender.aclose()
        await verifier.aclose()
        await fal.close()
        await disconnect(redis)
        await disconnect(patient)


def _stores(settings: Settings, redis: Client, patient: Client) -> _Stores:
    """All stores; `patient` is the connection that may wait for news."""
    audit, clock, ledger = AuditStore(redis), Clock(), LedgerStore(redis)
    kept_ms, slots = settings.retention_ms, settings.upstream_concurrency
    return _Stores(
        jobs=JobStore(redis, retention_ms=kept_ms, billed=settings.fal_admin_key is not None),
        accounts=AccountStore(redis),
        admission=AdmissionStore(redis, clock, retention_ms=kept_ms),
        alarms=AlarmStore(redis),
        audit=audit,
        backup=BackupStore(redis),
        buying=BuyingStore(redis, concurrency=slots),
        deliveries=DeliveryStore(redis),
        delivery_log=DeliveryLogStore(redis, retention_ms=kept_ms),
        dispatch=DispatchStore(redis, patient=patient, concurrency=slots),
        endpoints=EndpointStore(redis, audit, retention_ms=kept_ms),
        epoch=EpochStore(redis),
        events=EventStore(redis, patient=patient),
        health=HealthStore(redis),
        ledger=ledger,
        limits=LimitStore(redis, clock),
        line=LineStore(redis),
        secrets=SecretStore(redis, given=settings.hook_secret.get_secret_value() if settings.hook_secret else None),
        setting_names=SettingNames(redis),
        uploads=UploadStore(redis),
        usage=UsageStore(redis),
        zones=ZoneStore(redis, ledger),
    )


def _gateway(
    settings: Settings,
    catalog: Catalog,
    policy: EgressPolicy,
    stores: _Stores,
    *,
    fal: FalClient,
    sender: Sender,
    verifier: Verifier,
) -> Gateway:
    """The services over the stores: those that others stand on first."""
    uploads = Uploads(fal, stores.accounts)
    accounts = Accounts(stores.accounts, stores.ledger, stores.limits)
    adoption = Adoption(jobs=stores.jobs, fal=fal, alarms=stores.alarms)
    fal_uploads = FalUploads(
        uploads=uploads,
        store=stores.uploads,
        secrets=stores.secrets,
        accounts=accounts,
        parts=PartFolder(settings.data_dir / "uploads"),
        base_url=settings.base_url,
    )
    jobs = _jobs(settings, catalog, policy, stores, uploads=uploads, fal_uploads=fal_uploads)
    return Gateway(
        settings=settings,
        catalog=catalog,
        accounts=accounts,
        administration=Administration(
            catalog=catalog,
            accounts=stores.accounts,
            dispatch=stores.dispatch,
            audit=stores.audit,
            zones=Zones(zones=stores.zones, accounts=stores.accounts, dispatch=stores.dispatch),
        ),
        tokens=Tokens(catalog, stores.accounts, stores.jobs, stores.dispatch),
        limits=Limits(stores.limits, stores.accounts, stores.audit, stores.dispatch),
        books=Ledger(stores.ledger, stores.accounts, stores.jobs, stores.audit, stores.dispatch, stores.usage),
        usage=Usage(stores.usage, stores.accounts, stores.dispatch),
        feed=Feed(stores.events),
        audit=Audit(stores.audit),
        jobs=jobs,
        fal_door=FalDoor(
            catalog=catalog,
            jobs=jobs,
            job_store=stores.jobs,
            admission=stores.admission,
            line=stores.line,
            strict_schema=settings.strict_schema,
            deadline_s=settings.job_deadline,
        ),
        fal_uploads=fal_uploads,
        listing=Listing(stores.jobs),
        uploads=uploads,
        job_store=stores.jobs,
        dispatch=stores.dispatch,
        buying=stores.buying,
        operations=Operations(
            accounts=stores.accounts,
            jobs=stores.jobs,
            dispatch=stores.dispatch,
            buying=stores.buying,
            line=stores.line,
            alarms=stores.alarms,
            audit=stores.audit,
            fal=fal,
        ),
        alarms=stores.alarms,
        health=stores.health,
        adoption=adoption,
        fal_webhooks=FalWebhooks(jobs=stores.jobs, adoption=adoption, verifier=verifier, secrets=stores.secrets),
        endpoints=Endpoints(
            catalog=catalog,
            endpoints=stores.endpoints,
            accounts=stores.accounts,
            dispatch=stores.dispatch,
            audit=stores.audit,
            alarms=stores.alarms,
            secrets=stores.secrets,
            deliveries=stores.delivery_log,
            egress=policy,
        ),
        delivery_log=DeliveryLog(store=stores.delivery_log, endpoints=stores.endpoints, audit=stores.audit),
        epoch=EpochService(stores.epoch, Witness(settings.data_dir), alarms=stores.alarms, audit=stores.audit),
        silence=Silence(stores.alarms, expected=settings.real_money),
        backups=Backups(stores.backup),
        secrets=stores.secrets,
        setting_names=stores.setting_names,
        ledger=stores.ledger,
        usage_sums=stores.usage,
        deliveries=stores.deliveries,
        events=stores.events,
        fal=fal,
        sender=sender,
    )


def _jobs(
    settings: Settings,
    catalog: Catalog,
    policy: EgressPolicy,
    stores: _Stores,
    *,
    uploads: Uploads,
    fal_uploads: FalUploads,
) -> Jobs:
    """The service through which every job comes in."""
    requests = Requests(
        catalog=catalog,
        uploads=uploads,
        fal_uploads=fal_uploads,
        egress=policy,
        rules=RequestRules(
            strict_schema=settings.strict_schema,
            private_images=settings.emulated,
            deadline_s=settings.job_deadline,
        ),
    )
    return Jobs(
        requests=requests,
        admission=stores.admission,
        jobs=stores.jobs,
        dispatch=stores.dispatch,
        limits=stores.limits,
        line=stores.line,
        watch=Watch(stores.jobs, stores.events),
        disk=StoreDisk(settings.data_dir if required_url(settings) == socket_url(settings.data_dir) else None),
        concurrency=settings.upstream_concurrency,
    )
