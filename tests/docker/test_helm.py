"""The renderer of charts for tests: it does what helm does with these tags, and rejects all others."""

from typing import Any

import pytest

from tests.docker.helm import TemplateError, render_text

pytestmark = pytest.mark.pure

_ROOT: dict[str, Any] = {
    "Values": {"name": "a", "none": "", "number": 3, "map": {"y": "2", "x": "1"}, "list": [{"k": "v"}]},
    "Chart": {"AppVersion": "1.0"},
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("n: {{ .Values.name }}-b\n", "n: a-b\n"),
        ("n: {{ .Values.number | quote }}", 'n: "3"'),
        ("{{ .Values.none | default .Chart.AppVersion }}", "1.0"),
        ("a\n{{- if .Values.none }}\nb\n{{- else }}\nc\n{{- end }}\nd", "a\nc\nd"),
        ("{{- if or .Values.none .Values.name }}yes{{ end }}", "yes"),
        ("m:\n  {{- range $k, $v := .Values.map }}\n  {{ $k }}: {{ $v | quote }}\n  {{- end }}\n",
         'm:\n  x: "1"\n  y: "2"\n'),
        ("{{- with .Values.list }}\nl:\n  {{- toYaml . | nindent 2 }}\n{{- end }}", "\nl:\n  - k: v"),
        ("{{ with .Values.none }}never{{ end }}", ""),
    ],
)  # fmt: skip
def test_tags_are_rendered(template: str, text: str) -> None:
    assert render_text(template, _ROOT) == text


@pytest.mark.parametrize(
    "template",
    [
        "{{ .Values.nmae }}",
        "{{ .Release.Name }}",
        '{{ include "labels" . }}',
        "{{ .Values.name | upper }}",
        "{{ range .Values.list }}{{ end }}",
        "{{ if (eq .Values.name 1) }}{{ end }}",
        "{{ .Values.map }}",
        "{{ if .Values.name }}",
        "{{ $unknown }}",
        "{{.Values.name}}",
        "{{ end }}",
    ],
)
def test_whatever_else_is_rejected(template: str) -> None:
    with pytest.raises(TemplateError):
        render_text(template, _ROOT)
