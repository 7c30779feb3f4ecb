// The workload of benchmarks/tcp.py in ns-3: request/response connections through a blackout.
//
//   clients --- switch --- server     client: 1 KB, an answer of 1 KB, the next 10 ms after it
//
// From 5.0 to 5.8 s every frame to and from the server is lost. Prints one JSON object: segments
// that both ends sent, answers, events, and CPU seconds of the run itself.
//
// What ns-3 would do in another way by itself is set to what the emulator beside it does: MSS
// 1460, smallest RTO 200 ms, no Nagle, no checksums computed. No timestamps: where each side's
// data acknowledges the other's, ns-3.37 echoes old ones, takes the age of the connection for
// its round trip, and waits seconds for what was lost. The defaults of the options are
// what was fastest: clients on ten nodes, since a node finds its connections by searching a
// list, and the priority queue as scheduler. --cpu-limit ends a run that takes too long; how
// far it came is said by "reached_s".

#include "ns3/bridge-module.h"
#include "ns3/core-module.h"
#include "ns3/csma-module.h"
#include "ns3/internet-module.h"
#include "ns3/network-module.h"

#include <sys/resource.h>

#include <cstdint>
#include <deque>
#include <iostream>
#include <string>

using namespace ns3;

namespace
{

constexpr uint32_t kMessage = 1024;
constexpr uint16_t kPort = 7007;
const Time kThink = MilliSeconds(10);
// CSMA links are half duplex in ns-3: with a long cable frames collide, and nothing else is measured.
const Time kCableDelay = NanoSeconds(100);
// How often it is looked whether the run has taken too long.
const Time kLook = MilliSeconds(20);

uint64_t segments = 0;
uint64_t answers = 0;

// One end of a connection: counts bytes until a message is whole.
struct End
{
    Ptr<Socket> socket;
    uint32_t have = 0;
    bool asks = false;
};

// A deque keeps the ends where they are, since callbacks point to them.
std::deque<End> ends;

void
Send(End* end)
{
    end->socket->Send(Create<Packet>(kMessage));
}

void
Received(End* end, Ptr<Socket> socket)
{
    while (Ptr<Packet> packet = socket->Recv())
    {
        end->have += packet->GetSize();
        while (end->have >= kMessage)
        {
            end->have -= kMessage;
            if (!end->asks)
            {
                Send(end);
                continue;
            }
            ++answers;
            Simulator::Schedule(kThink, &Send, end);
        }
        if (packet->GetSize() == 0)
        {
            break;
        }
    }
}

void
Accepted(Ptr<Socket> socket, const Address&)
{
    ends.push_back({socket, 0, false});
    socket->SetRecvCallback(MakeBoundCallback(&Received, &ends.back()));
}

void
Connected(End* end, Ptr<Socket>)
{
    Send(end);
}

void
Open(Ptr<Node> node, Ipv4Address server)
{
    ends.push_back({Socket::CreateSocket(node, TcpSocketFactory::GetTypeId()), 0, true});
    End* end = &ends.back();
    end->socket->SetConnectCallback(MakeBoundCallback(&Connected, end),
                                    MakeNullCallback<void, Ptr<Socket>>());
    end->socket->SetRecvCallback(MakeBoundCallback(&Received, end));
    end->socket->Connect(InetSocketAddress(server, kPort));
}

void
Sent(Ptr<const Packet>, Ptr<Ipv4>, uint32_t)
{
    ++segments;
}

// Loses every packet of a device in the dark.
class Dark : public ErrorModel
{
  public:
    static TypeId
    GetTypeId()
    {
        static TypeId id = TypeId("ns3::Dark").SetParent<ErrorModel>();
        return id;
    }

  private:
    bool
    DoCorrupt(Ptr<Packet>) override
    {
        const Time now = Simulator::Now();
        return now >= Seconds(5.0) && now < Seconds(5.8);
    }

    void
    DoReset() override
    {
    }
};

void
DarkenOnReceipt(Ptr<NetDevice> device)
{
    device->SetAttribute("ReceiveErrorModel", PointerValue(CreateObject<Dark>()));
}

double
CpuSeconds()
{
    rusage used{};
    getrusage(RUSAGE_SELF, &used);
    return used.ru_utime.tv_sec + used.ru_stime.tv_sec +
           1e-6 * (used.ru_utime.tv_usec + used.ru_stime.tv_usec);
}

// Stops the run when it has taken too much CPU time.
void
Look(double limit)
{
    if (CpuSeconds() > limit)
    {
        Simulator::Stop();
        return;
    }
    Simulator::Schedule(kLook, &Look, limit);
}

// Joins hosts by a switch: CSMA links to the ports of a bridge.
Ipv4InterfaceContainer
Bridge(NodeContainer& hosts, Ptr<Node> middle)
{
    CsmaHelper link;
    link.SetChannelAttribute("DataRate", StringValue("10Gbps"));
    link.SetChannelAttribute("Delay", TimeValue(kCableDelay));
    NetDeviceContainer devices;
    NetDeviceContainer ports;
    for (uint32_t n = 0; n < hosts.GetN(); ++n)
    {
        NetDeviceContainer pair = link.Install(NodeContainer(hosts.Get(n), middle));
        devices.Add(pair.Get(0));
        ports.Add(pair.Get(1));
    }
    DarkenOnReceipt(devices.Get(0));
    DarkenOnReceipt(ports.Get(0));
    BridgeHelper().Install(middle, ports);
    InternetStackHelper().Install(hosts);
    Ipv4AddressHelper addresses("10.0.0.0", "255.255.0.0");
    return addresses.Assign(devices);
}

} // namespace

int
main(int argc, char* argv[])
{
    uint32_t connections = 100;
    uint32_t clientHosts = 10;
    double seconds = 15.0;
    double cpuLimit = 600.0;
    std::string scheduler = "ns3::PriorityQueueScheduler";
    CommandLine options(__FILE__);
    options.AddValue("connections", "how many", connections);
    options.AddValue("hosts", "client nodes that they are spread over", clientHosts);
    options.AddValue("seconds", "time that is simulated", seconds);
    options.AddValue("cpu-limit", "CPU seconds after which it is given up", cpuLimit);
    options.AddValue("scheduler", "type of the event queue", scheduler);
    options.Parse(argc, argv);

    Config::SetDefault("ns3::TcpSocket::SegmentSize", UintegerValue(1460));
    Config::SetDefault("ns3::TcpSocket::TcpNoDelay", BooleanValue(true));
    Config::SetDefault("ns3::TcpSocketBase::MinRto", TimeValue(MilliSeconds(200)));
    Config::SetDefault("ns3::TcpSocketBase::Timestamp", BooleanValue(false));
    ObjectFactory queue(scheduler);
    Simulator::SetScheduler(queue);

    NodeContainer hosts;
    hosts.Create(1 + clientHosts); // the server comes first
    Ptr<Node> middle = CreateObject<Node>();
    const Ipv4Address server = Bridge(hosts, middle).GetAddress(0);
    for (uint32_t n = 0; n < hosts.GetN(); ++n)
    {
        hosts.Get(n)->GetObject<Ipv4L3Protocol>()->TraceConnectWithoutContext(
            "Tx", MakeCallback(&Sent));
    }

    Ptr<Socket> listener = Socket::CreateSocket(hosts.Get(0), TcpSocketFactory::GetTypeId());
    listener->Bind(InetSocketAddress(Ipv4Address::GetAny(), kPort));
    listener->Listen();
    listener->SetAcceptCallback(MakeNullCallback<bool, Ptr<Socket>, const Address&>(),
                                MakeCallback(&Accepted));
    for (uint32_t n = 0; n < connections; ++n)
    {
        // spread over half a second, so that they do not go in step
        const Time at = NanoSeconds(10'000'000 + 500'000'000ULL * n / connections);
        Simulator::Schedule(at, &Open, hosts.Get(1 + n % clientHosts), server);
    }

    Simulator::Stop(Seconds(seconds));
    const double before = CpuSeconds();
    Simulator::Schedule(kLook, &Look, before + cpuLimit);
    Simulator::Run();
    const double cpu = CpuSeconds() - before;
    const double reached = Simulator::Now().GetSeconds();
    std::cout << "{\"connections\": " << connections << ", \"segments\": " << segments
              << ", \"answers\": " << answers << ", \"events\": " << Simulator::GetEventCount()
              << ", \"cpu_s\": " << cpu << ", \"reached_s\": " << reached << "}" << std::endl;
    Simulator::Destroy();
    return 0;
}
