#include "controlplane/metrics.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <memory>
#include <utility>

#include "controlplane/clock.h"
#include "controlplane/links.h"
#include "controlplane/text.h"

namespace penstock::controlplane {
namespace {

using prometheus::ClientMetric;
using prometheus::MetricFamily;
using prometheus::MetricType;

using Labels = std::vector<ClientMetric::Label>;

/// A counter's name ends in _total, by Prometheus' convention.
MetricFamily family(std::string_view name, std::string_view help, bool gauge) {
  MetricFamily made;
  made.name = "penstock_" + std::string(name) + (gauge ? "" : "_total");
  made.help = help;
  made.type = gauge ? MetricType::Gauge : MetricType::Counter;
  return made;
}

void add(MetricFamily& to, Labels labels, double value) {
  ClientMetric metric;
  metric.label = std::move(labels);
  (to.type == MetricType::Gauge ? metric.gauge.value : metric.counter.value) = value;
  to.metric.push_back(std::move(metric));
}

Labels worker_label(uint32_t worker) { return {{"worker", std::to_string(worker)}}; }

void add_processes(const Parts& parts, const std::shared_ptr<Attachment>& attachment,
                   std::vector<MetricFamily>& families) {
  MetricFamily up =
      family("dataplane_up", "1 while the control plane is attached to the data plane", true);
  add(up, {}, attachment ? 1 : 0);
  families.push_back(std::move(up));
  MetricFamily build = family("build_info", "versions of both processes; always 1", true);
  const std::string dataplane = attachment ? clean_text(attachment->hello().software.view()) : "";
  add(build, {{"control", std::string(software_version())}, {"dataplane", dataplane}}, 1);
  families.push_back(std::move(build));
  MetricFamily draining = family("draining", "1 while new connections are refused", true);
  add(draining, {}, parts.reconciler.draining() ? 1 : 0);
  families.push_back(std::move(draining));
  MetricFamily wanted =
      family("wanted_epoch", "epoch of the state that the control plane wants", true);
  add(wanted, {}, static_cast<double>(parts.reconciler.wanted_epoch()));
  families.push_back(std::move(wanted));
  if (!attachment) return;
  MetricFamily started =
      family("dataplane_start_time_seconds", "when the data plane started, Unix time", true);
  add(started, {}, static_cast<double>(attachment->started_unix_ms()) / 1000);
  families.push_back(std::move(started));
  MetricFamily kept = family("applied_config_kept",
                             "1 while what the workers run with is on disk as well; 0: after a "
                             "crash penstockd would start from an older one",
                             true);
  add(kept, {}, parts.kept.kept() ? 1 : 0);
  families.push_back(std::move(kept));
}

void add_workers(const Attachment& attachment, std::vector<MetricFamily>& families) {
  const control::Region& region = attachment.region();
  for (size_t i = 0; i < control::counter_count; ++i) {
    const control::CounterInfo& info = control::counter_table[i];
    MetricFamily made = family(info.name, info.help, info.gauge);
    for (uint32_t worker = 0; worker < attachment.workers(); ++worker) {
      add(made, worker_label(worker), static_cast<double>(region.worker(worker).counters[i].get()));
    }
    families.push_back(std::move(made));
  }
  MetricFamily faults = family("faults", "what peers did wrong", false);
  for (size_t i = 0; i < fault_count; ++i) {
    for (uint32_t worker = 0; worker < attachment.workers(); ++worker) {
      Labels labels = worker_label(worker);
      labels.push_back({"fault", std::string(fault_info(static_cast<Fault>(i)).name)});
      add(faults, std::move(labels), static_cast<double>(region.worker(worker).faults[i].get()));
    }
  }
  families.push_back(std::move(faults));

  MetricFamily beat =
      family("worker_heartbeat_age_seconds", "since the worker was last heard of", true);
  MetricFamily epoch =
      family("worker_applied_epoch", "epoch of the state that the worker runs with", true);
  MetricFamily busy = family("worker_busy_seconds", "time the worker did not wait", false);
  const uint64_t now_ns = monotonic_ns();
  for (uint32_t worker = 0; worker < attachment.workers(); ++worker) {
    const control::WorkerArea& area = region.worker(worker);
    add(beat, worker_label(worker),
        static_cast<double>(heartbeat_age_ms(region, worker, now_ns)) / 1000);
    add(epoch, worker_label(worker), static_cast<double>(area.applied_epoch.observe()));
    add(busy, worker_label(worker), static_cast<double>(area.busy_ns.get()) / 1e9);
  }
  families.push_back(std::move(beat));
  families.push_back(std::move(epoch));
  families.push_back(std::move(busy));
}

/// Of engines with network devices of their own; nothing at all with another one.
void add_links(const Attachment& attachment, std::vector<MetricFamily>& families) {
  const std::vector<Link> all = links(attachment);
  if (all.empty()) return;
  MetricFamily up = family("link_up", "1 while the worker's network device has a link", true);
  MetricFamily speed = family("link_bits_per_second", "of its link; 0: not known", true);
  MetricFamily engine = family("engine", "between network device and worker", false);
  MetricFamily tcp = family("tcp", "what the engine's own TCP counts", false);
  MetricFamily device = family("device", "as the network device's driver counts and names", false);
  for (const Link& link : all) {
    Labels labels = worker_label(link.worker);
    labels.push_back({"device", link.device});
    labels.push_back({"driver", link.driver});
    add(up, labels, link.up ? 1 : 0);
    add(speed, labels, static_cast<double>(link.bits_per_second));
    for (const LinkNumber& number : link.numbers) {
      const bool of_device = number.kind == control::LinkNumberKind::device;
      Labels of = of_device ? Labels{{"device", link.device}} : worker_label(link.worker);
      of.push_back({"counter", number.name});
      MetricFamily& into = of_device                                     ? device
                           : number.kind == control::LinkNumberKind::tcp ? tcp
                                                                         : engine;
      add(into, std::move(of), static_cast<double>(number.value));
    }
  }
  for (MetricFamily* made : {&up, &speed, &engine, &tcp, &device}) {
    if (!made->metric.empty()) families.push_back(std::move(*made));
  }
}

struct StreamMetric {
  std::string_view name;
  std::string_view help;
  bool gauge;
  double (*value)(const Stream&);
};

template <auto Member>
double number(const Stream& stream) {
  return static_cast<double>(stream.*Member);
}

constexpr StreamMetric stream_metrics[] = {
    {"stream_video_bits_per_second", "measured", true, number<&Stream::video_bits_per_second>},
    {"stream_audio_bits_per_second", "measured", true, number<&Stream::audio_bits_per_second>},
    {"stream_fps", "measured, by timestamps", true,
     [](const Stream& s) { return static_cast<double>(s.fps_milli) / 1000; }},
    {"stream_keyframe_interval_seconds", "between the last two keyframes", true,
     [](const Stream& s) { return static_cast<double>(s.keyframe_interval_ms) / 1000; }},
    {"stream_av_drift_seconds", "video minus audio timestamp", true,
     [](const Stream& s) { return static_cast<double>(s.av_drift_ms) / 1000; }},
    {"stream_subscribers", "over all workers", true, number<&Stream::subscribers>},
    {"stream_timestamp_jumps", "steps back, or forward by more than 1 s", false,
     number<&Stream::timestamp_jumps>},
    {"stream_bytes_received", "from the publisher", false, number<&Stream::bytes_received>},
    {"stream_bytes_sent", "to subscribers", false, number<&Stream::bytes_sent>},
    {"stream_frames_skipped", "not queued to slow subscribers", false,
     number<&Stream::frames_skipped>},
    {"stream_frames_dropped", "lost for all, because of our own limits", false,
     number<&Stream::frames_dropped>},
};

void add_streams(const Parts& parts, std::vector<MetricFamily>& families) {
  std::vector<Stream> streams = parts.catalog.streams();
  MetricFamily count = family("streams", "published names", true);
  add(count, {}, static_cast<double>(streams.size()));
  families.push_back(std::move(count));
  if (streams.size() > Metrics::streams_listed_max) streams.resize(Metrics::streams_listed_max);
  for (const StreamMetric& metric : stream_metrics) {
    MetricFamily made = family(metric.name, metric.help, metric.gauge);
    for (const Stream& stream : streams) add(made, {{"stream", stream.name}}, metric.value(stream));
    families.push_back(std::move(made));
  }
}

}  // namespace

std::vector<MetricFamily> Metrics::Collect() const {
  std::vector<MetricFamily> families;
  const auto attachment = parts_.link.current();
  add_processes(parts_, attachment, families);
  if (!attachment) return families;
  add_workers(*attachment, families);
  add_links(*attachment, families);
  add_streams(parts_, families);
  return families;
}

std::string metrics_text(const Parts& parts) {
  return prometheus::TextSerializer().Serialize(Metrics(parts).Collect());
}

}  // namespace penstock::controlplane
