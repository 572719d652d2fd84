"""The gateway: everything a process owns, built in one place."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from app.alerting import alarm_watch, alert_receiver, alerts_service, host_report
from app.crash import arm
from app.domain.heartbeats import ROLES, STORAGE_ROLES
from app.domain.store_role import StoreRole
from app.egress import EgressPolicy
from app.embedded import socket_url
from app.fal.client import FalClient
from app.fal.signature import Verifier
from app.fal.web import OutboundRoute, ca_file_context
from app.registry.catalog import Catalog
from app.registry.files import ModelFilesError, read_directory
from app.services.accounts import Accounts
from app.services.administration import Administration
from app.services.adoption import Adoption
from app.services.alarm_watch import AlarmWatch
from app.services.alerts import Alerts
from app.services.answers import Answers
from app.services.audit import Audit
from app.services.backup import Backups
from app.services.clips import Clips
from app.services.delivery_log import DeliveryLog
from app.services.endpoints import Endpoints
from app.services.epoch import EpochService
from app.services.fal_compat import FalCompat
from app.services.fal_uploads import FalUploads
from app.services.fal_webhooks import FalWebhooks
from app.services.feed import Feed
from app.services.history import Histories
from app.services.host_report import HostReport
from app.services.invitations import Invitations
from app.services.jobs import Jobs
from app.services.ledger import Ledger
from app.services.limits import Limits
from app.services.listing import JobListing
from app.services.live import Live
from app.services.metrics import Metrics
from app.services.migration import Migrator
from app.services.operations import Operations
from app.services.sessions import Sessions
from app.services.shares import Shares
from app.services.sign_on import SignOn
from app.services.storage_mark import StorageMark
from app.services.store_disk import StoreDisk
from app.services.submissions import SubmissionRules, Submissions
from app.services.tokens import Tokens
from app.services.upload_list import UploadList
from app.services.upload_places import upload_places
from app.services.uploads import Uploads
from app.services.usage import Usage
from app.services.watch import Watch
from app.services.worker_watch import WorkerWatch
from app.settings import Settings, SettingsError, required_url
from app.single_sign_on import sign_on_service
from app.starting import clip_copies, open_storage, require_store
from app.store.witness import Witness
from app.stores import Stores, open_stores
from app.webhooks.sender import Sender

if TYPE_CHECKING:
    from app.media.storage import Storage
    from app.services.clip_copies import ClipCopies


@dataclass(frozen=True, slots=True)
class Gateway:
    """What a process owns. APIs and commands use the services; workers also the stores, fal and the sender."""

    settings: Settings
    stores: Stores
    catalog: Catalog
    accounts: Accounts
    administration: Administration
    tokens: Tokens
    sessions: Sessions
    sign_on: SignOn
    invitations: Invitations
    limits: Limits
    ledger: Ledger
    audit: Audit
    usage: Usage
    feed: Feed
    jobs: Jobs
    watch: Watch
    fal_compat: FalCompat
    fal_uploads: FalUploads
    listing: JobListing
    histories: Histories
    shares: Shares
    upload_list: UploadList
    uploads: Uploads
    operations: Operations
    metrics: Metrics
    adoption: Adoption
    fal_webhooks: FalWebhooks
    endpoints: Endpoints
    delivery_log: DeliveryLog
    epoch: EpochService
    worker_watch: WorkerWatch
    alarm_watch: AlarmWatch
    host_report: HostReport
    alerts: Alerts
    backups: Backups
    migrator: Migrator
    fal: FalClient
    sender: Sender
    clips: Clips
    storage: "Storage | None"
    storage_mark: StorageMark
    clip_copies: "ClipCopies | None"


def load_catalog(settings: Settings) -> Catalog:
    """The registry with the operator's models and prices; SettingsError, a sentence for each fault in the files."""
    try:
        files = () if settings.models is None else read_directory(settings.models)
    except ModelFilesError as error:
        raise SettingsError("\n".join(f"FILMGATE_MODELS: {sentence}" for sentence in error.sentences)) from None
    try:
        prices = None if settings.prices is None else json.loads(settings.prices.read_text("utf-8-sig"))
    except OSError as error:
        raise SettingsError(f"FILMGATE_PRICES: {settings.prices} cannot be read ({error.strerror}).") from None
    except ValueError:
        raise SettingsError(f"FILMGATE_PRICES: {settings.prices} is no JSON.") from None
    if not isinstance(prices, dict | None):
        raise SettingsError("FILMGATE_PRICES: the file must hold a JSON object from model ids to prices.")
    try:
        return Catalog.load(prices, files)
    except ValueError as error:
        raise SettingsError(f"FILMGATE_PRICES: {error}") from None


def egress_policy(settings: Settings) -> EgressPolicy:
    """Where webhooks may be sent: never to Filmgate, its store or fal; SettingsError when the setting is wrong."""
    host = f"[{settings.host}]" if ":" in settings.host else settings.host
    blocked = (
        settings.base_url,
        f"http://{host}:{settings.port}",  # the public URL may be another
        required_url(settings),
        settings.fal_queue_url,
        settings.fal_rest_url,
        settings.fal_api_url,
    )
    try:
        return EgressPolicy.parse(settings.egress_allow, blocked=blocked, refuse_wide=settings.real_money)
    except ValueError as error:
        raise SettingsError(f"FILMGATE_EGRESS_ALLOW: {error}") from None


def route_to_fal(settings: Settings) -> OutboundRoute:
    """The proxy and certificates of calls to fal; SettingsError when the file has no certificates."""
    if settings.ssl_cert_file is not None:
        try:
            ca_file_context(settings.ssl_cert_file)
        except OSError:  # ssl.SSLError is one
            raise SettingsError("SSL_CERT_FILE names a file that holds no certificates (PEM).") from None
    proxy = settings.https_proxy.get_secret_value() if settings.https_proxy else None
    return OutboundRoute(proxy, settings.no_proxy, settings.ssl_cert_file)


@asynccontextmanager
async def open_gateway(
    settings: Settings,
    *,
    process: str,
    role: StoreRole = StoreRole.ADMIN,
    patience: float | None = 0,
    on_wait: Callable[[str], object] | None = None,
    warned: bool = False,
) -> AsyncIterator[Gateway]:
    """Build everything, check the store, and close everything at the end.

    `process` is its name in the store's client list, and the rights of `role` are what its user there must have.
    `patience` is how many seconds to wait for a store that is not up yet, None without end; `on_wait` gets a
    sentence meanwhile, instead of the log. `warned`: the parent process has logged what the store cannot guarantee.

    Raises:
        StoreUnavailable: the store did not come up in time.
        SettingsError: the configuration is wrong, or the store is not durable enough for real money.
    """
    arm(settings.crash)
    catalog = load_catalog(settings)
    policy = egress_policy(settings)
    alert_receiver(settings, policy)  # refused now, and not at the first alarm
    route = route_to_fal(settings)
    fal = FalClient(
        queue_url=settings.fal_queue_url,
        rest_url=settings.fal_rest_url,
        key=settings.fal_key.get_secret_value() if settings.fal_key else None,
        api_url=settings.fal_api_url,
        admin_key=settings.fal_admin_key.get_secret_value() if settings.fal_admin_key else None,
        media_hosts=settings.fal_media_hosts,
        route=route,
    )
    sender = Sender(policy)
    verifier = Verifier(settings.jwks_url, user_id=settings.fal_webhook_user, route=route)
    async with open_stores(settings, process=process) as stores:
        try:
            await require_store(
                settings, stores.redis, role=role, patience=patience, on_wait=on_wait, warned=warned
            )
            yield _gateway(settings, catalog, policy, stores, fal=fal, sender=sender, verifier=verifier)
        finally:
            await sender.aclose()
            await verifier.aclose()
            await fal.close()


def epoch_service(settings: Settings, stores: Stores) -> EpochService:
    """The service that compares the store with this host's witness."""
    return EpochService(stores.epoch, Witness(settings.data_dir), alarms=stores.alarms)


def metrics_service(stores: Stores, **of_host: Any) -> Metrics:
    """The service that makes the page of /metrics; `of_host` says what its host's processes have counted."""
    return Metrics(
        figures=stores.figures,
        leases=stores.leases,
        alarms=stores.alarms,
        buying=stores.buying,
        line=stores.line,
        **of_host,
    )


def _gateway(
    settings: Settings,
    catalog: Catalog,
    policy: EgressPolicy,
    stores: Stores,
    *,
    fal: FalClient,
    sender: Sender,
    verifier: Verifier,
) -> Gateway:
    """The services; those that others depend on are built first."""
    folder = settings.data_dir / "uploads"
    storage_mark = StorageMark(stores.storage_mark)
    storage = open_storage(settings, storage_mark)
    parts, kept = upload_places(storage, stores.kept_files, folder)
    uploads = Uploads(fal, stores.uploaded_files, kept)
    accounts = Accounts(stores.accounts, stores.ledger, stores.limits, stores.kept_files if storage else None)
    adoption = Adoption(jobs=stores.jobs, fal=fal, alarms=stores.alarms)
    direct = settings.storage is not None and settings.storage.direct
    clips = Clips(stores.jobs, stores.clock, storage, base_url=settings.base_url, direct=direct)
    fal_uploads = FalUploads(
        uploads=uploads,
        store=stores.uploads,
        secrets=stores.secrets,
        accounts=accounts,
        parts=parts,
        folder=folder,
        clips=clips,
        base_url=settings.base_url,
    )
    live = Live(stores.events)
    listing = JobListing(stores.jobs, stores.job_indexes, stores.accounts)
    alerts = alerts_service(settings, stores, policy)
    watch = Watch(stores.jobs, stores.events, live)
    jobs = _jobs(settings, catalog, policy, stores, uploads=uploads, fal_uploads=fal_uploads, clips=clips)
    return Gateway(
        settings=settings,
        stores=stores,
        catalog=catalog,
        accounts=accounts,
        administration=Administration(
            catalog=catalog, administration=stores.administration, accounts=stores.accounts, clock=stores.clock
        ),
        tokens=Tokens(catalog, stores.accounts, stores.jobs, stores.clock),
        sessions=Sessions(
            stores.sessions,
            accounts,
            stores.accounts,
            stores.clock,
            settings.admin_key.get_secret_value() if settings.admin_key else None,
        ),
        sign_on=sign_on_service(settings, stores, policy, accounts),
        invitations=Invitations(stores.invitations, stores.accounts, stores.clock, settings.base_url),
        limits=Limits(stores.limits, stores.accounts, stores.clock),
        ledger=Ledger(stores.ledger, stores.accounts, stores.jobs, stores.audit, stores.clock, stores.usage),
        usage=Usage(stores.usage, stores.accounts, stores.clock),
        feed=Feed(stores.events, live),
        audit=Audit(stores.audit),
        jobs=jobs,
        watch=watch,
        fal_compat=FalCompat(
            catalog=catalog,
            jobs=jobs,
            events=stores.events,
            job_store=stores.jobs,
            admission=stores.admission,
            answers=Answers(stores.admission),
            line=stores.line,
            strict_schema=settings.strict_schema,
            deadline_s=settings.job_deadline,
        ),
        fal_uploads=fal_uploads,
        listing=listing,
        histories=Histories(stores.ledger, stores.accounts),
        shares=Shares(
            store=stores.shares,
            jobs=stores.jobs,
            listing=listing,
            accounts=stores.accounts,
            catalog=catalog,
            clock=stores.clock,
            base_url=settings.base_url,
        ),
        upload_list=UploadList(stores.uploaded_files, stores.kept_files, stores.clock),
        uploads=uploads,
        operations=Operations(
            accounts=stores.accounts,
            jobs=stores.jobs,
            quarantine=stores.quarantine,
            heartbeats=stores.heartbeats,
            buying=stores.buying,
            line=stores.line,
            alarms=stores.alarms,
            alerts=alerts,
            audit=stores.audit,
            fal=fal,
            admission=stores.admission,
        ),
        metrics=metrics_service(stores),
        adoption=adoption,
        fal_webhooks=FalWebhooks(jobs=stores.jobs, adoption=adoption, verifier=verifier, secrets=stores.secrets),
        endpoints=Endpoints(
            catalog=catalog,
            endpoints=stores.endpoints,
            accounts=stores.accounts,
            clock=stores.clock,
            administration=stores.administration,
            alarms=stores.alarms,
            secrets=stores.secrets,
            deliveries=stores.delivery_log,
            egress=policy,
        ),
        delivery_log=DeliveryLog(
            store=stores.delivery_log, jobs=stores.jobs, endpoints=stores.endpoints, audit=stores.audit
        ),
        epoch=epoch_service(settings, stores),
        worker_watch=WorkerWatch(
            alarms=stores.alarms,
            expected=settings.real_money,
            roles=ROLES if storage is None else STORAGE_ROLES,
        ),
        alarm_watch=alarm_watch(settings, stores),
        host_report=host_report(settings, stores, "api"),
        alerts=alerts,
        backups=Backups(stores.backup),
        migrator=Migrator(stores.data_format, stores.leases),
        fal=fal,
        sender=sender,
        clips=clips,
        clip_copies=clip_copies(settings, fal, storage, stores.kept_files.hold),
        storage=storage,
        storage_mark=storage_mark,
    )


def _jobs(
    settings: Settings,
    catalog: Catalog,
    policy: EgressPolicy,
    stores: Stores,
    *,
    uploads: Uploads,
    fal_uploads: FalUploads,
    clips: Clips,
) -> Jobs:
    """The service that admits jobs."""
    submissions = Submissions(
        catalog=catalog,
        uploads=uploads,
        fal_uploads=fal_uploads,
        egress=policy,
        rules=SubmissionRules(
            strict_schema=settings.strict_schema,
            private_images=settings.emulated,
            deadline_s=settings.job_deadline,
        ),
    )
    return Jobs(
        submissions=submissions,
        admission=stores.admission,
        jobs=stores.jobs,
        limits=stores.limits,
        line=stores.line,
        alarms=stores.alarms,
        disk=StoreDisk(settings.data_dir if required_url(settings) == socket_url(settings.data_dir) else None),
        clips=clips,
        concurrency=settings.upstream_concurrency,
    )
