"""All stores of a process, on two Redis clients."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from app.settings import Settings, required_url
from app.store.accounts import AccountStore
from app.store.administration import AdministrationStore
from app.store.admission import AdmissionStore
from app.store.alarms import AlarmStore
from app.store.alerts import AlertStore
from app.store.audit import AuditStore
from app.store.backup import BackupStore
from app.store.buying import BuyingStore
from app.store.client import Client
from app.store.clock import ClockEstimate, StoreClock
from app.store.connection import connect, disconnect
from app.store.copies import CopyStore
from app.store.data_format import DataFormatStore
from app.store.deliveries import DeliveryStore
from app.store.delivery_log import DeliveryLogStore
from app.store.due import DueStore
from app.store.end_ages import EndAgeStore
from app.store.endpoints import EndpointStore
from app.store.epoch import EpochStore
from app.store.events import EventStore
from app.store.figures import FigureStore
from app.store.health import HealthStore
from app.store.heartbeats import HeartbeatStore
from app.store.hosts import HostStore
from app.store.invitations import InvitationStore
from app.store.job_indexes import JobIndexStore
from app.store.jobs import JobStore
from app.store.kept_files import KeptFileStore
from app.store.lanes import LaneStore
from app.store.leases import LeaseStore
from app.store.ledger import LedgerStore
from app.store.ledger_check import LedgerChecks
from app.store.limits import LimitStore
from app.store.line import LineStore
from app.store.quarantine import QuarantineStore
from app.store.secrets import SecretStore
from app.store.sessions import SessionStore
from app.store.setting_names import SettingNames
from app.store.shares import ShareStore
from app.store.sign_on import SignOnStore
from app.store.slots import SlotStore
from app.store.storage_mark import StorageMarkStore
from app.store.uploaded_files import UploadedFileStore
from app.store.uploads import UploadStore
from app.store.usage import UsageStore
from app.store.zones import ZoneStore

BLOCK_S = 2.0  # a blocking read waits no longer


@dataclass(frozen=True, slots=True)
class Stores:
    """Every store, and their clients; `blocking` is for reads that wait for new data."""

    redis: Client
    blocking: Client
    accounts: AccountStore
    administration: AdministrationStore
    admission: AdmissionStore
    alarms: AlarmStore
    alerts: AlertStore
    audit: AuditStore
    backup: BackupStore
    buying: BuyingStore
    clock: StoreClock
    copies: CopyStore
    data_format: DataFormatStore
    deliveries: DeliveryStore
    delivery_log: DeliveryLogStore
    due: DueStore
    end_ages: EndAgeStore
    endpoints: EndpointStore
    epoch: EpochStore
    events: EventStore
    figures: FigureStore
    health: HealthStore
    heartbeats: HeartbeatStore
    hosts: HostStore
    invitations: InvitationStore
    jobs: JobStore
    job_indexes: JobIndexStore
    kept_files: KeptFileStore
    lanes: LaneStore
    leases: LeaseStore
    ledger: LedgerStore
    ledger_checks: LedgerChecks
    limits: LimitStore
    line: LineStore
    quarantine: QuarantineStore
    secrets: SecretStore
    sessions: SessionStore
    setting_names: SettingNames
    shares: ShareStore
    sign_on: SignOnStore
    slots: SlotStore
    storage_mark: StorageMarkStore
    uploaded_files: UploadedFileStore
    uploads: UploadStore
    usage: UsageStore

    async def renew_connections(self) -> None:
        """Close idle connections, which may lead to a server that is no longer the primary."""
        for client in (self.redis, self.blocking):
            await client.renew()


@asynccontextmanager
async def open_stores(settings: Settings, *, process: str) -> AsyncIterator[Stores]:
    """Stores that connect at first use, and are closed at the end; `process` names their clients in Redis."""
    url = required_url(settings)
    redis = connect(url, name=f"filmgate-{process}", replicas=settings.store_replicas)
    blocking = connect(url, patience=BLOCK_S, name=f"filmgate-{process}-patient")
    stores = _build(settings, redis, blocking)
    try:
        yield stores
    finally:
        await stores.events.close()
        await disconnect(redis)
        await disconnect(blocking)


def _build(settings: Settings, redis: Client, blocking: Client) -> Stores:
    audit, estimate, accounts, clock = AuditStore(redis), ClockEstimate(), AccountStore(redis), StoreClock(redis)
    ledger = LedgerStore(redis, audit)
    kept_ms, slots = settings.retention_ms, settings.upstream_concurrency
    jobs = JobStore(redis, retention_ms=kept_ms, billed=settings.fal_admin_key is not None)
    return Stores(
        redis=redis,
        blocking=blocking,
        accounts=accounts,
        administration=AdministrationStore(audit, accounts, ZoneStore(redis, ledger, accounts, clock)),
        admission=AdmissionStore(redis, estimate, retention_ms=kept_ms),
        alarms=AlarmStore(redis),
        alerts=AlertStore(redis),
        audit=audit,
        backup=BackupStore(redis, url=required_url(settings)),
        buying=BuyingStore(redis, audit, concurrency=slots),
        clock=clock,
        copies=CopyStore(redis, jobs),
        data_format=DataFormatStore(redis),
        deliveries=DeliveryStore(redis),
        delivery_log=DeliveryLogStore(redis, retention_ms=kept_ms),
        due=DueStore(redis, blocking=blocking),
        end_ages=EndAgeStore(redis, kept_ms=kept_ms),
        endpoints=EndpointStore(redis, audit, retention_ms=kept_ms),
        epoch=EpochStore(redis, audit),
        events=EventStore(redis, blocking=blocking),
        figures=FigureStore(redis),
        health=HealthStore(redis),
        heartbeats=HeartbeatStore(redis),
        hosts=HostStore(redis),
        invitations=InvitationStore(redis, audit),
        jobs=jobs,
        job_indexes=JobIndexStore(redis),
        kept_files=KeptFileStore(redis, retention_ms=kept_ms),
        lanes=LaneStore(redis),
        leases=LeaseStore(redis),
        ledger=ledger,
        ledger_checks=LedgerChecks(redis, ledger),
        limits=LimitStore(redis, audit, estimate),
        line=LineStore(redis),
        quarantine=QuarantineStore(redis),
        secrets=SecretStore(redis, given=settings.hook_secret.get_secret_value() if settings.hook_secret else None),
        sessions=SessionStore(redis),
        setting_names=SettingNames(redis),
        shares=ShareStore(redis),
        sign_on=SignOnStore(redis, audit),
        slots=SlotStore(redis, concurrency=slots),
        storage_mark=StorageMarkStore(redis, audit),
        uploaded_files=UploadedFileStore(redis),
        uploads=UploadStore(redis),
        usage=UsageStore(redis),
    )
