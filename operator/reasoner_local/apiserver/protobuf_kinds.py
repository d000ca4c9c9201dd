"""Field numbers of the kinds that `protobuf` decodes, from the generated.proto files of k8s.io/api."""

from typing import NamedTuple

Fields = dict[int, "Field"]


class Field(NamedTuple):
    """One field: its JSON name, the kind of its value, and whether it is a list, a map or inlined."""

    name: str
    kind: "str | Fields"
    shape: str = "one"


def _fields(text: str, **messages: Fields) -> Fields:
    """Fields from lines of `number name kind`.

    The kind is a scalar (`int0` and `bool0` are not set when zero), a name in `messages`, or either after `list:`,
    `map:` or `inline:`.
    """
    made: Fields = {}
    for number, name, kind in (line.split() for line in text.split(";") if line.strip()):
        shape, _, inner = kind.rpartition(":")
        made[int(number)] = Field(name, messages.get(inner, inner), shape or "one")
    return made


_OWNER = _fields("5 apiVersion str; 1 kind str; 3 name str; 4 uid str; 6 controller bool; 7 blockOwnerDeletion bool")
META = _fields(
    "1 name str; 2 generateName str; 3 namespace str; 5 uid str; 6 resourceVersion str; 7 generation int0;"
    "8 creationTimestamp time; 11 labels map:str; 12 annotations map:str; 13 ownerReferences list:owner;"
    "14 finalizers list:str",
    owner=_OWNER,
)
_KEY_REF = _fields("1 reference inline:local; 2 key str; 3 optional bool", local=_fields("1 name str"))
_FIELD_REF = _fields("1 apiVersion str; 2 fieldPath str")
_SOURCE = _fields("1 fieldRef field; 3 configMapKeyRef key; 4 secretKeyRef key", field=_FIELD_REF, key=_KEY_REF)
_ENV = _fields("1 name str; 2 value str; 3 valueFrom source", source=_SOURCE)
_PORT = _fields("1 name str; 2 hostPort int0; 3 containerPort int0; 4 protocol str; 5 hostIP str")
_RESOURCES = _fields("1 limits map:quantity; 2 requests map:quantity")
_CONTAINER = _fields(
    "1 name str; 2 image str; 3 command list:str; 4 args list:str; 5 workingDir str; 6 ports list:port;"
    "7 env list:env; 8 resources resources; 14 imagePullPolicy str; 16 stdin bool0; 17 stdinOnce bool0; 18 tty bool0",
    port=_PORT,
    env=_ENV,
    resources=_RESOURCES,
)
_POD_SPEC = _fields(
    "2 containers list:container; 3 restartPolicy str; 4 terminationGracePeriodSeconds int;"
    "5 activeDeadlineSeconds int; 6 dnsPolicy str; 7 nodeSelector map:str; 8 serviceAccountName str;"
    "10 nodeName str; 20 initContainers list:container",
    container=_CONTAINER,
)
_TEMPLATE = _fields("1 metadata meta; 2 spec pod", meta=META, pod=_POD_SPEC)
_REQUIREMENT = _fields("1 key str; 2 operator str; 3 values list:str")
_SELECTOR = _fields("1 matchLabels map:str; 2 matchExpressions list:one", one=_REQUIREMENT)
_JOB = _fields(
    "1 parallelism int; 2 completions int; 3 activeDeadlineSeconds int; 4 selector selector; 5 manualSelector bool;"
    "6 template template; 7 backoffLimit int; 8 ttlSecondsAfterFinished int; 9 completionMode str; 10 suspend bool",
    selector=_SELECTOR,
    template=_TEMPLATE,
)
_CRON_JOB = _fields(
    "1 schedule str; 2 startingDeadlineSeconds int; 3 concurrencyPolicy str; 4 suspend bool; 5 jobTemplate job",
    job=_fields("1 metadata meta; 2 spec job", meta=META, job=_JOB),
)
_DEPLOYMENT = _fields(
    "1 replicas int; 2 selector selector; 3 template template; 5 minReadySeconds int0",
    selector=_SELECTOR,
    template=_TEMPLATE,
)
_SERVICE_PORT = _fields(
    "1 name str; 2 protocol str; 3 port int0; 4 targetPort intstr; 5 nodePort int0; 6 appProtocol str"
)
_SERVICE = _fields(
    "1 ports list:port; 2 selector map:str; 3 clusterIP str; 4 type str; 5 externalIPs list:str; 10 externalName str",
    port=_SERVICE_PORT,
)
_RULE = _fields(
    "1 verbs list:str; 2 apiGroups list:str; 3 resources list:str; 4 resourceNames list:str; 5 nonResourceURLs list:str"
)
_SUBJECT = _fields("1 kind str; 2 apiGroup str; 3 name str; 4 namespace str")
_ROLE_REF = _fields("1 apiGroup str; 2 kind str; 3 name str")
_ROLE = _fields("1 metadata meta; 2 rules list:rule", meta=META, rule=_RULE)
_BINDING = _fields(
    "1 metadata meta; 2 subjects list:subject; 3 roleRef ref", meta=META, subject=_SUBJECT, ref=_ROLE_REF
)
_REFERENCE = _fields(
    "1 kind str; 2 namespace str; 3 name str; 4 uid str; 5 apiVersion str; 6 resourceVersion str; 7 fieldPath str"
)
_ATTRIBUTES = _fields(
    "1 namespace str; 2 verb str; 3 group str; 4 version str; 5 resource str; 6 subresource str; 7 name str"
)
_REVIEW = _fields(
    "1 resourceAttributes resource; 2 nonResourceAttributes path",
    resource=_ATTRIBUTES,
    path=_fields("1 path str; 2 verb str"),
)
_OPTIONS = _fields(
    "1 gracePeriodSeconds int; 2 preconditions conditions; 3 orphanDependents bool; 4 propagationPolicy str;"
    "5 dryRun list:str",
    conditions=_fields("1 uid str; 2 resourceVersion str"),
)


def _kind(**spec: Fields) -> Fields:
    return _fields("1 metadata meta; 2 spec spec" if spec else "1 metadata meta", meta=META, **spec)


KINDS: dict[str, Fields] = {
    "Namespace": _kind(),
    "ServiceAccount": _kind(),
    "SelfSubjectReview": _kind(),
    "ConfigMap": _fields("1 metadata meta; 2 data map:str; 3 binaryData map:bytes; 4 immutable bool", meta=META),
    "Secret": _fields(
        "1 metadata meta; 2 data map:bytes; 3 type str; 4 stringData map:str; 5 immutable bool", meta=META
    ),
    "Pod": _kind(spec=_POD_SPEC),
    "Job": _kind(spec=_JOB),
    "CronJob": _kind(spec=_CRON_JOB),
    "Deployment": _kind(spec=_DEPLOYMENT),
    "Service": _kind(spec=_SERVICE),
    "Role": _ROLE,
    "ClusterRole": _ROLE,
    "RoleBinding": _BINDING,
    "ClusterRoleBinding": _BINDING,
    "Event": _fields(
        "1 metadata meta; 2 involvedObject ref; 3 reason str; 4 message str; 5 source source; 6 firstTimestamp time;"
        "7 lastTimestamp time; 8 count int0; 9 type str; 12 action str; 14 reportingComponent str",
        meta=META,
        ref=_REFERENCE,
        source=_fields("1 component str; 2 host str"),
    ),
    "PriorityClass": _fields(
        "1 metadata meta; 2 value int0; 3 globalDefault bool0; 4 description str; 5 preemptionPolicy str", meta=META
    ),
    "SelfSubjectAccessReview": _kind(spec=_REVIEW),
    "SelfSubjectRulesReview": _kind(spec=_fields("1 namespace str")),
    "TokenRequest": _kind(
        spec=_fields(
            "1 audiences list:str; 3 boundObjectRef ref; 4 expirationSeconds int",
            ref=_fields("1 kind str; 2 apiVersion str; 3 name str; 4 uid str"),
        )
    ),
    "Eviction": _fields("1 metadata meta; 2 deleteOptions options", meta=META, options=_OPTIONS),
    "DeleteOptions": _OPTIONS,
}
