"""A learning switch as a controller application, for any version of OpenFlow: the program that every course begins with.

The version is the last word of the file's name that is run: learning_switch_14.py speaks OpenFlow 1.4 and nothing else.
"""

import os

from os_ken.base import app_manager
from os_ken.controller import ofp_event
from os_ken.controller.handler import CONFIG_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.lib.packet import ethernet, packet

VERSIONS = {"10": 1, "12": 3, "13": 4, "14": 5, "15": 6}
WORD = os.path.splitext(os.path.basename(__file__))[0].rsplit("_", 1)[-1]


class LearningSwitch(app_manager.OSKenApp):
    OFP_VERSIONS = [VERSIONS[WORD]]

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.stations = {}

    @set_ev_cls(ofp_event.EventOFPSwitchFeatures, CONFIG_DISPATCHER)
    def joined(self, event):
        path = event.msg.datapath
        if path.ofproto.OFP_VERSION >= 4:
            # Since 1.3 packets that meet no rule are dropped: a rule of lowest priority sends them here.
            parser, of = path.ofproto_parser, path.ofproto
            to_us = [parser.OFPActionOutput(of.OFPP_CONTROLLER, of.OFPCML_NO_BUFFER)]
            self.add(path, parser.OFPMatch(), to_us, 0)

    def add(self, path, match, actions, priority):
        parser, of = path.ofproto_parser, path.ofproto
        if of.OFP_VERSION == 1:
            path.send_msg(parser.OFPFlowMod(path, match, 0, of.OFPFC_ADD, priority=priority, actions=actions))
        else:
            apply = [parser.OFPInstructionActions(of.OFPIT_APPLY_ACTIONS, actions)]
            path.send_msg(parser.OFPFlowMod(path, priority=priority, match=match, instructions=apply))

    @set_ev_cls(ofp_event.EventOFPPacketIn, MAIN_DISPATCHER)
    def packet(self, event):
        msg = event.msg
        path, of, parser = msg.datapath, msg.datapath.ofproto, msg.datapath.ofproto_parser
        port = msg.in_port if of.OFP_VERSION == 1 else msg.match["in_port"]
        frame = packet.Packet(msg.data).get_protocols(ethernet.ethernet)[0]
        table = self.stations.setdefault(path.id, {})
        table[frame.src] = port
        out = table.get(frame.dst, of.OFPP_FLOOD)
        actions = [parser.OFPActionOutput(out)]
        if out != of.OFPP_FLOOD:
            if of.OFP_VERSION == 1:
                to, source = frame.dst, frame.src
                match = parser.OFPMatch(in_port=port, dl_dst=bytes.fromhex(to.replace(":", "")),
                                        dl_src=bytes.fromhex(source.replace(":", "")))
            else:
                match = parser.OFPMatch(in_port=port, eth_dst=frame.dst, eth_src=frame.src)
            self.add(path, match, actions, 1)
        whole = msg.buffer_id == of.OFP_NO_BUFFER if of.OFP_VERSION > 1 else msg.buffer_id == 0xFFFFFFFF
        data = msg.data if whole else None
        if of.OFP_VERSION == 6:
            reply = parser.OFPPacketOut(path, buffer_id=msg.buffer_id, match=parser.OFPMatch(in_port=port),
                                        actions=actions, data=data)
        else:
            reply = parser.OFPPacketOut(path, buffer_id=msg.buffer_id, in_port=port, actions=actions, data=data)
        path.send_msg(reply)
